"""The thread in the background that compacts indexes and builds IVF indexes."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from service.index.collection import Building, CollectionIndex, Reached, unseen
from service.index.memory import give_back
from service.jobs.watching import Watched
from service.store.jobs import Kind
from service.store.reader import Reader
from service.store.rows import HIDDEN
from service.store.schema import CollectionRow

PATIENCE_SECONDS = 2.0
Watch = Callable[[Kind, str, str, int], Watched]
log = logging.getLogger(__name__)


class Upkeep:
    """One thread per process, so that upkeep takes one core at most; starts with the first request."""

    def __init__(self, reader: Reader, watch: Watch | None = None) -> None:
        """`reader` is for this thread alone: it reads at length. `watch` tells of each build of an IVF index."""
        self._reader = reader
        self._watch = watch
        self._wanted: queue.SimpleQueue[tuple[CollectionRow, CollectionIndex] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued: set[CollectionIndex] = set()
        self._thread: threading.Thread | None = None

    def request(self, collection: CollectionRow, index: CollectionIndex) -> None:
        """Have a collection's index kept up soon; one that waits already is not queued again."""
        with self._lock:
            if index in self._queued:
                return
            self._queued.add(index)
            if self._thread is None:
                # A daemon: k-means cannot be stopped, and the process must be able to.
                self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
                self._thread.start()
        self._wanted.put((collection, index))

    def close(self) -> None:
        """Have the thread end once it is done with what it is at; waits a moment for it."""
        self._wanted.put(None)
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)

    def _run(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            collection, index = wanted
            with self._lock:
                self._queued.discard(index)
            try:
                index.keep_up(partial(self._reader.by_id, collection.number), self._building(collection))
            except Exception:
                log.exception("an index could not be kept up; it goes on as it is")
                continue
            give_back()
            if index.wants_upkeep():
                # Much has changed while an IVF index was built, and no later write may ask again.
                self.request(collection, index)

    def _building(self, collection: CollectionRow) -> Building:
        watch = self._watch
        if watch is None or collection.name == HIDDEN:
            return unseen

        @contextmanager
        def building(lists: int, items: int) -> Iterator[Reached]:
            with watch("build", collection.name, f"an IVF index of {lists} lists", items) as watched:
                yield watched.reach

        return building

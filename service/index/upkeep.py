"""The thread in the background that compacts indexes and builds IVF indexes."""

import logging
import queue
import threading
from functools import partial

from service.index.collection import CollectionIndex
from service.index.memory import give_back
from service.store.reader import Reader

PATIENCE_SECONDS = 2.0
log = logging.getLogger(__name__)


class Upkeep:
    """One thread per process, so that upkeep takes one core at most; starts with the first request."""

    def __init__(self, reader: Reader) -> None:
        """`reader` is for this thread alone: it reads at length."""
        self._reader = reader
        self._wanted: queue.SimpleQueue[tuple[int, CollectionIndex] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued: set[CollectionIndex] = set()
        self._thread: threading.Thread | None = None

    def request(self, collection: int, index: CollectionIndex) -> None:
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
                index.keep_up(partial(self._reader.by_id, collection))
            except Exception:
                log.exception("an index could not be kept up; it goes on as it is")
                continue
            give_back()
            if index.wants_upkeep():
                # Much has changed while an IVF index was built, and no later write may ask again.
                self.request(collection, index)

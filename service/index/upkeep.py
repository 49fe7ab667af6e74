"""The thread in the background that compacts indexes and builds IVF indexes."""

import logging
import queue
import threading

from service.index.collection import CollectionIndex

log = logging.getLogger(__name__)


class Upkeep:
    """One thread per process, so that upkeep takes one core at most; starts with the first request."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[CollectionIndex | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued: set[CollectionIndex] = set()
        self._thread: threading.Thread | None = None

    def request(self, index: CollectionIndex) -> None:
        """Have an index kept up soon; one that waits already is not queued again."""
        with self._lock:
            if index in self._queued:
                return
            self._queued.add(index)
            if self._thread is None:
                # A daemon: k-means cannot be stopped, and the process must be able to.
                self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
                self._thread.start()
        self._wanted.put(index)

    def close(self) -> None:
        """Have the thread end once it is done with what it is at."""
        self._wanted.put(None)

    def _run(self) -> None:
        while (index := self._wanted.get()) is not None:
            with self._lock:
                self._queued.discard(index)
            try:
                index.keep_up()
            except Exception:
                log.exception("an index could not be kept up; it goes on as it is")
                continue
            if index.wants_upkeep():
                # Much has changed while an IVF index was built, and no later write may ask again.
                self.request(index)

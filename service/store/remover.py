"""The thread that removes the rows of items that are deleted already: one at a time of all processes on a database."""

import logging
import threading
from pathlib import Path

from service.store.deletions import PAUSE_SECONDS, REMOVING_SECONDS
from service.store.reader import Reader
from service.store.turns import turn
from service.store.writer import Writer

POLL_SECONDS = 0.5
# After what keeps rows from being removed, as a full disk.
RETRY_SECONDS = 5.0
PATIENCE_SECONDS = 2.0
log = logging.getLogger(__name__)


class Remover:
    """One per process. Who holds the lock file removes rows; where that process is killed, another one goes on."""

    def __init__(self, writer: Writer, reader: Reader, lock: Path) -> None:
        """`reader` is for this thread alone."""
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def finish(self) -> None:
        """Remove all there is to remove, unless another process is at it; for before anything is answered.

        Raises DamagedStoreError.
        """
        self._writer.require_deletions()
        if self._reader.is_deleting():
            with turn(self._lock) as alone:
                # Nobody waits: no other process was at it, so most likely there is none.
                while alone and self._writer.remove_some(REMOVING_SECONDS):
                    pass

    def start(self) -> None:
        """Begin to look for work."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="remover", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look for work now: there is some."""
        self._wanted.set()
        self.start()

    def close(self) -> None:
        """Have the thread end after the transaction that it is at; waits a moment for it."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)

    def _run(self) -> None:
        seen: int | None = None
        while not self._stopping.is_set():
            self._wanted.clear()
            try:
                version = self._reader.version()
                if version != seen:
                    is_left = self._reader.is_deleting() and not self._remove()
                    seen = None if is_left else version
                wait = POLL_SECONDS
            except Exception:
                log.exception("rows of deleted items could not be removed; they stay hidden, and are tried again")
                wait = RETRY_SECONDS
            self._wanted.wait(wait)

    def _remove(self) -> bool:
        """Remove rows until there are none, or this is to stop; returns whether this process has the turn."""
        with turn(self._lock) as alone:
            while alone and not self._stopping.is_set() and self._writer.remove_some(REMOVING_SECONDS):
                self._stopping.wait(PAUSE_SECONDS)
            return alone

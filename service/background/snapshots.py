"""Snapshots, taken while somebody waits for them or by a thread beside, one after the other; a job tells of either."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from models.errors import HammingwayError
from service.background.boards import WatchedBoard
from service.collections.collections import Collections
from service.errors import BusyError
from service.jobs.watching import JobCancelledError, Watched
from service.store.jobs import Job
from service.store.snapshots import Taken, remove
from service.threads.pool import Pool
from service.threads.runs import AbandonedError, Going
from service.untold import untold

MOST_QUEUED = 100
# Of snapshots that a client waits for; they take no threads that writes need.
WAITED_AT_ONCE = 2
log = logging.getLogger(__name__)


class Snapshots:
    """One per process; safe to use from many threads."""

    def __init__(self, collections: Collections, jobs: WatchedBoard, folder: Path) -> None:
        self._collections = collections
        self._jobs = jobs
        self._folder = folder
        self._pool = Pool(1, MOST_QUEUED)
        self._waited = Pool(WAITED_AT_ONCE, MOST_QUEUED)
        self._guard = threading.Lock()
        self._queued = 0

    def close(self) -> None:
        """Have the threads end when they are done."""
        self._pool.close()
        self._waited.close()

    async def take(self, name: str, is_abandoned: Callable[[], bool]) -> Taken:
        """Write a collection into a file, in a thread of its own; one that is cancelled before its turn is not begun.

        `is_abandoned` is asked again and again from that thread; the snapshot ends where it is true. Raises
        UnknownCollectionError, JobCancelledError, AbandonedError, or BusyError where too many wait.
        """

        def going() -> None:
            if is_abandoned():
                raise AbandonedError("expected the client to wait for the snapshot, it went away")

        return await self._waited.run(lambda: self._take(name, self._jobs.watch("snapshot", name), going))

    def begin(self, name: str) -> Job:
        """Have that done beside; returns the job, whose result is what `told` says.

        Raises UnknownCollectionError, NotOfferedError, or BusyError where too many wait.
        """
        self._collections.require_snapshots(name)
        with self._guard:
            if self._queued >= MOST_QUEUED:
                raise BusyError(f"expected at most {MOST_QUEUED} snapshots to wait, got one more: try again")
            self._queued += 1
        try:
            watched = self._jobs.queue("snapshot", name)
        except BaseException:
            self._give_place()
            raise
        self._pool.submit(partial(self._take_queued, name, watched))
        return watched.job

    def _take_queued(self, name: str, watched: Watched) -> None:
        try:
            watched.require_going()
            watched.start()
            self._take(name, watched)
        except HammingwayError as error:
            # The job tells it.
            watched.end(error)
            log.warning("no snapshot of %s: %s: %s", name, error.title, error)
        except Exception:
            log.exception("no snapshot of %s", name)
        finally:
            self._give_place()

    def _take(self, name: str, watched: Watched, going: Going = untold) -> Taken:
        def copied(items: int, total: int) -> None:
            going()
            watched.expect(total)
            watched.reach(items)
            watched.require_going()

        with watched:
            taken = self._collections.take_snapshot(name, self._folder, copied)
            if watched.end(result=told(taken)).state != "succeeded":
                # Between the last look and now it was cancelled, or told to have been interrupted by a stop.
                remove(self._folder, taken)
                raise JobCancelledError("expected the snapshot to be taken, its job was cancelled")
        return taken

    def _give_place(self) -> None:
        with self._guard:
            self._queued -= 1


def told(taken: Taken) -> dict[str, Any]:
    """A snapshot that was taken, by names in JSON."""
    parts = asdict(taken)
    return {"snapshot": parts.pop("name"), **parts}

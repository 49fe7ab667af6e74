"""Threads for the blocking work: encoding, FAISS and SQLite never run on the event loop."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from service.errors import BusyError

T = TypeVar("T")


class Pool:
    """At most `threads` calls at once, and at most `queue` that wait their turn; raises BusyError above that."""

    def __init__(self, threads: int, queue: int) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._queue = queue

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread; once started it is finished, whether or not the client still waits."""
        waiting = self._limiter.statistics().tasks_waiting
        if waiting >= self._queue:
            raise BusyError(f"expected at most {self._queue} requests to wait, got one more: try again")
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)

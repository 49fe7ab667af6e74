"""Threads for the blocking work: encoding, FAISS and SQLite never run on the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from service.errors import BusyError

T = TypeVar("T")
_Call = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Pool:
    """At most `threads` calls at once, and at most `queue` that wait their turn; raises BusyError above that.

    For one event loop. Its own threads, as handing a call over through a general executor and back was measured to
    take two to three times as long, a fifth of what a search over HTTP costs besides the search.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._most = threads + queue
        self._queue = queue
        self._under_way = 0
        self._threads = [threading.Thread(target=self._work, name=f"pool {n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread; once started it is finished, whether or not the client still waits."""
        if self._under_way >= self._most:
            raise BusyError(f"expected at most {self._queue} requests to wait, got one more: try again")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        self._calls.put((call, future))
        return await future

    def close(self) -> None:
        """Have the threads end when they are done with what waits."""
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (given := self._calls.get()) is not None:
            call, future = given
            try:
                result, error = call(), None
            except BaseException as raised:
                result, error = None, raised
            with suppress(RuntimeError):
                # The loop is closed: nobody waits any more.
                future.get_loop().call_soon_threadsafe(self._settle, future, result, error)
            # Not kept until the next call: they may hold much.
            del given, call, future, result, error

    def _settle(self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        self._under_way -= 1
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

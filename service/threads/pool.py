"""Threads for the blocking work: encoding, FAISS and SQLite never run on the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from service.errors import BusyError, let_go

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """At most `threads` calls at once, and at most `queue` that wait their turn; raises BusyError above that.

    For one event loop. Its own threads, as handing a call over through a general executor and back was measured to
    take two to three times as long, a fifth of what a search over HTTP costs besides the search.
    """

    def __init__(self, threads: int, queue: int, begin: Callable[[], None] | None = None) -> None:
        """`begin` is called by each thread before all else."""
        self._begin = begin
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._most = threads + queue
        self._queue = queue
        self._under_way = 0
        self._busy: set[int] = set()
        self._threads = [
            threading.Thread(target=self._work, args=(n,), name=f"pool {n}", daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread; once started it is finished, whether or not the client still waits.

        One whose client waits no longer when its turn comes is not started: after a burst, all time would go into
        answers that came too late, and what comes then would be late, too.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            if future.cancelled():
                tell(loop, self.give_place)
                return
            try:
                result, error = call(), None
            except BaseException as raised:
                result, error = None, raised
            tell(loop, self._settle, future, result, error)

        self.take_place()
        self.submit(work)
        return await future

    def bound(self, call: Callable[P, T]) -> Callable[P, T]:
        """A call, with what has to go along with it to another thread."""
        return call

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return max(0, self._under_way - len(self._threads))

    @property
    def idle(self) -> int:
        """How many threads have nothing to do."""
        return len(self._threads) - len(self._busy)

    def take_place(self) -> None:
        """Count a request that is to be answered in these threads; raises BusyError where too many wait."""
        if self._under_way >= self._most:
            raise BusyError(f"expected at most {self._queue} requests to wait, got one more: try again")
        self._under_way += 1

    def give_place(self) -> None:
        """Count a request as answered."""
        self._under_way -= 1

    def submit(self, call: Callable[[], None]) -> None:
        """Run a call that raises nothing in a thread, when its turn comes."""
        self._calls.put(call)

    def close(self) -> None:
        """Have the threads end when they are done with what waits."""
        for _ in self._threads:
            self._calls.put(None)

    def _work(self, number: int) -> None:
        if self._begin is not None:
            self._begin()
        while (call := self._calls.get()) is not None:
            self._busy.add(number)
            call()
            self._busy.discard(number)
            # Not kept until the next one: it may hold much.
            del call

    def _settle(self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        self.give_place()
        settle(future, result, error)


def tell(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any) -> None:
    """Have the event loop make a call, from another thread."""
    # RuntimeError where the loop is closed: nobody waits any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)


def settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    """Give a waiting coroutine its result, unless it was cancelled."""
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        let_go(error)
        future.set_exception(error)
    else:
        # A future takes no StopIteration, and what is no Exception would pass by who answers errors, or end the loop.
        wrapped = RuntimeError(f"a thread ended with {type(error).__name__}")
        wrapped.__cause__ = error
        future.set_exception(wrapped)

"""Threads for work that takes long, shared fairly between clients: one that asks for much waits for itself."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from service.threads.pool import Pool, settle, tell
from service.threads.runs import AbandonedError, Going

T = TypeVar("T")


@dataclass(eq=False)
class _Call:
    client: Hashable
    work: Callable[[Going], Any]
    future: "asyncio.Future[Any]"

    def going(self) -> None:
        """Raise AbandonedError where the result is not waited for any more."""
        if self.future.cancelled():
            raise AbandonedError("expected the client to wait for the result, it went away or took too long")


class FairPool:
    """Runs calls in the threads of a pool; clients take turns, and no client has all threads, but for an only one.

    For one event loop. A call that is cancelled before its turn is not begun. One that is under way is told when it
    asks: it calls what it is given again and again, which raises AbandonedError then.
    """

    def __init__(self, pool: Pool, threads: int) -> None:
        """`threads` are those of the pool, which is used for nothing else."""
        self._pool = pool
        self._threads = threads
        self._most_each = max(1, threads - 1)
        # By client, each with its calls in their order; the client whose turn is next comes first.
        self._waiting: OrderedDict[Hashable, deque[_Call]] = OrderedDict()
        self._running: Counter[Hashable] = Counter()

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return sum(map(len, self._waiting.values()))

    async def run(self, client: Hashable, work: Callable[[Going], T]) -> T:
        """The result of a call; raises BusyError where too many wait, and AbandonedError never: nobody would see it."""
        loop = asyncio.get_running_loop()
        call = _Call(client, self._pool.bound(work), loop.create_future())
        self._pool.take_place()
        self._waiting.setdefault(client, deque()).append(call)
        self._begin(loop)
        try:
            result: T = await call.future
            return result
        except asyncio.CancelledError:
            self._forget(call)
            raise

    def close(self) -> None:
        """Have the threads end when they are done with what they are at."""
        self._pool.close()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._running.total() < self._threads and (call := self._next()) is not None:
            self._running[call.client] += 1
            self._pool.submit(lambda call=call: self._work(loop, call))  # type: ignore[misc]

    def _next(self) -> _Call | None:
        """The first call of the first client that may have another thread; that client's next turn comes last."""
        for client, calls in self._waiting.items():
            if self._running[client] < self._most_each:
                call = calls.popleft()
                if calls:
                    self._waiting.move_to_end(client)
                else:
                    del self._waiting[client]
                return call
        return None

    def _forget(self, call: _Call) -> None:
        """Take a call out that was cancelled before its turn; one that has begun ends by itself."""
        calls = self._waiting.get(call.client, ())
        if call in calls:
            self._waiting[call.client].remove(call)
            self._pool.give_place()
            if not self._waiting[call.client]:
                del self._waiting[call.client]

    def _work(self, loop: asyncio.AbstractEventLoop, call: _Call) -> None:
        try:
            call.going()
            result, error = call.work(call.going), None
        except BaseException as raised:
            result, error = None, raised
        tell(loop, self._settle, loop, call, result, error)

    def _settle(self, loop: asyncio.AbstractEventLoop, call: _Call, result: Any, error: BaseException | None) -> None:
        self._running[call.client] -= 1
        if not self._running[call.client]:
            del self._running[call.client]
        self._pool.give_place()
        settle(call.future, result, error)
        self._begin(loop)

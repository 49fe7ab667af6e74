"""A thread that works for many clients by turns: one slice of the work of each, whatever each of them has asked for."""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from service.errors import BusyError, StoppingError
from service.threads.pool import settle, tell

T = TypeVar("T")


class Lane:
    """At most `queue` pieces of work at once; raises BusyError above that. For one event loop.

    Clients take turns, and so do the pieces of work of one client. So a new client waits for one slice of each other
    client at most, however much they have asked for before.
    """

    def __init__(self, queue: int) -> None:
        self._queue = queue
        self._under_way = 0
        self._changed = threading.Condition()
        self._closed = False
        # By client, in the order of their turns; none is empty.
        self._turns: OrderedDict[Hashable, deque[_Work[Any]]] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="lane", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for their turn."""
        return max(0, self._under_way - 1)

    async def run(self, client: Hashable, step: Callable[[], T | None]) -> T:
        """What `step` returns: it is called in the thread again and again, by turns, until that is not None.

        Raises what `step` raises, and BusyError. It is called no more once the caller is cancelled.
        """
        if self._under_way >= self._queue:
            raise BusyError(f"expected at most {self._queue} requests to wait, got one more: try again")
        self._under_way += 1
        loop = asyncio.get_running_loop()
        work = _Work(step, loop.create_future(), loop)
        with self._changed:
            self._turns.setdefault(client, deque()).append(work)
            self._changed.notify()
        try:
            result: T = await work.future
            return result
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Have the thread end after the slice that it is at; what waits raises StoppingError."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            client, work = turn
            if work.go_on():
                with self._changed:
                    self._turns.setdefault(client, deque()).append(work)
        for works in self._turns.values():
            for work in works:
                work.end(None, StoppingError("expected a service that goes on, this one stops"))

    def _next(self) -> "tuple[Hashable, _Work[Any]] | None":
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._turns)
            if self._closed:
                return None
            client, works = self._turns.popitem(last=False)
            work = works.popleft()
            if works:
                # After all other clients.
                self._turns[client] = works
            return client, work


class _Work(Generic[T]):
    def __init__(
        self, step: Callable[[], T | None], future: "asyncio.Future[T]", loop: asyncio.AbstractEventLoop
    ) -> None:
        self._step = step
        self.future = future
        self._loop = loop

    def go_on(self) -> bool:
        """Take a step, unless nobody waits any more; returns whether there is more to do."""
        if self.future.cancelled():
            return False
        try:
            result, error = self._step(), None
        except BaseException as raised:
            result, error = None, raised
        if result is None and error is None:
            return True
        self.end(result, error)
        return False

    def end(self, result: T | None, error: BaseException | None) -> None:
        """Give the caller its result."""
        tell(self._loop, settle, self.future, result, error)

"""Requests that arrive while others are being answered are answered together.

A search costs as much in going to a thread and back, in taking turns for Python's lock, and in statements to SQLite, as
in searching. Many at once share all that: one pass of FAISS over the codes for all queries, one statement for all rows.
Nobody waits for company: a request that finds a thread free is answered alone, and what waits is
shared among the threads that are.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from service.threads.pool import Pool, settle, tell

A = TypeVar("A")
R = TypeVar("R")
# The place of a request among those that were passed, and its result or error; those that are ready at one time.
Answered = Iterable[Sequence[tuple[int, R | BaseException]]]
MOST_TOGETHER = 32


class Combining(Generic[A, R]):
    """`answer` is called in the pool's threads, with up to 32 requests, for a result or an error for each.

    Each is told as soon as it is there, while `answer` is at the others. For one event loop.
    """

    def __init__(self, pool: Pool, answer: Callable[[Sequence[A]], "Answered[R]"]) -> None:
        self._pool = pool
        self._answer = answer
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._announced = False

    async def run(self, request: A) -> R:
        """The answer to a request; raises BusyError where too many wait."""
        self._pool.take_place()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((request, future))
        self._announce(loop)
        return await future

    def _announce(self, loop: asyncio.AbstractEventLoop) -> None:
        # One call that has not begun is enough: it takes all that wait by then.
        if not self._announced:
            self._announced = True
            self._pool.submit(lambda: self._work(loop))

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        self._announced = False
        taken: list[tuple[A, asyncio.Future[R]]] = []
        # Shared with the threads that are idle: each would otherwise wait for what one of them was left with.
        most = min(MOST_TOGETHER, -(-len(self._waiting) // (1 + self._pool.idle)))
        while len(taken) < most:
            try:
                request, future = self._waiting.popleft()
            except IndexError:
                break
            if future.cancelled():
                # Not answered, as `Pool.run` does not.
                tell(loop, self._pool.give_place)
            else:
                taken.append((request, future))
        if not taken:
            return
        if self._waiting:
            self._announce(loop)
        left = {place: future for place, (_, future) in enumerate(taken)}
        try:
            for ready in self._answer([request for request, _ in taken]):
                tell(loop, self._settle, [(left.pop(place), result) for place, result in ready])
        except BaseException as error:
            # Also what libraries raise that is no Exception: who waits has to be told, and the thread has to go on.
            tell(loop, self._settle, [(future, error) for future in left.values()])

    def _settle(self, ready: "Sequence[tuple[asyncio.Future[R], R | BaseException]]") -> None:
        for future, result in ready:
            self._pool.give_place()
            if isinstance(result, BaseException):
                settle(future, None, result)
            else:
                settle(future, result, None)

"""Long work whose results are streamed: each run has a thread, and ends when nobody waits for it any more."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

from models.errors import HammingwayError
from service.errors import BusyError
from service.threads.pool import Pool, settle, tell

Going = Callable[[], None]
Work = Callable[[Going], Iterator[bytes]]


class AbandonedError(HammingwayError):
    """Nobody waits for the result any more."""

    # As proxies have it: no mistake of the service's, which 500 and above are.
    status = 499
    title = "Abandoned"


class Runs:
    """At most `most` runs at once, from their start until their last result was taken; for one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way = 0
        self._pool = Pool(most, most)

    def start(self, work: Work) -> "Run":
        """Begin a run; raises BusyError where there are too many. `end` has to be called whatever comes of it."""
        if self._under_way >= self._most:
            raise BusyError(
                f"expected at most {self._most} such runs at once, got one more: try again when one is done"
            )
        self._under_way += 1
        return Run(self._pool, work, self._give_place)

    def close(self) -> None:
        """Have the threads end when they are done."""
        self._pool.close()

    def _give_place(self) -> None:
        self._under_way -= 1


class Run:
    """What a generator yields, one after the other, each made in a thread when it is asked for.

    The generator calls what it is given again and again: that raises AbandonedError once the run was ended.
    """

    def __init__(self, pool: Pool, work: Work, give_place: Callable[[], None]) -> None:
        self._pool = pool
        self._give_place = give_place
        self._ended = threading.Event()
        self._working = False
        self._results: Iterator[bytes] | None = work(self._going)

    def _going(self) -> None:
        if self._ended.is_set():
            raise AbandonedError("expected somebody to wait for the result, nobody does")

    async def next(self) -> bytes | None:
        """The next result, None after the last; raises what the work raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes | None] = loop.create_future()
        results = self._results
        assert results is not None  # nosec B101  # for the type checker

        def work() -> None:
            try:
                result, error = next(results, None), None
            except BaseException as raised:
                result, error = None, raised
            tell(loop, self._settle, future, result, error)

        self._working = True
        self._pool.submit(work)
        return await future

    def end(self) -> None:
        """Let the work stop, if it has not; its place is free, and its results are dropped, once it has."""
        if not self._ended.is_set():
            self._ended.set()
            if not self._working:
                self._release()

    def _settle(self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        self._working = False
        if self._ended.is_set():
            self._release()
        settle(future, result, error)

    def _release(self) -> None:
        self._results = None
        self._give_place()

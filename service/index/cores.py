"""The cores that scans may use: a scan that finds others idle has them take a part of it, where that pays."""

import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Generic, TypeVar

from service.index.busy import idle_cores
from service.index.worth import Worth

T = TypeVar("T")
# A part's number, and what was made of it or what went wrong.
Answer = tuple[int, T | BaseException]
# With one a thread, whoever is ready first would wait for the others.
PARTS_A_THREAD = 4


class Cores:
    """At most `count` threads scan at once, those that call among them; safe to use from many threads.

    Threads of our own: an executor's took a fifth longer for a scan of 16 MB, and OpenMP's wait for each other by
    spinning, on cores that others need.
    """

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._idle = count
        self._calls: SimpleQueue[_Shared[Any] | None] = SimpleQueue()
        self._helpers = 0
        self._worth = Worth()

    def share(self, size: int, most: int, work: Callable[[slice], T], alike: Hashable = None) -> list[T]:
        """What `work` makes of [0, size), in at most `most` parts that follow each other; raises what it raises.

        What `work` reads must not change afterwards: another thread may still read it. Without `alike`, which is equal
        for works whose times for each of `size` can be compared, it is shared whether or not that was seen to pay.
        """
        free = self._free(most)
        if free == 1 or alike is None:
            return self._shared(size, most, work, free)
        sharing = self._worth.sharing(alike)
        began = perf_counter()
        done = self._shared(size, most, work, free if sharing else 1)
        self._worth.took(alike, sharing, (perf_counter() - began) / max(1, size))
        return done

    def close(self) -> None:
        """Have the threads end when they are done."""
        for _ in range(self._helpers):
            self._calls.put(None)

    def _shared(self, size: int, most: int, work: Callable[[slice], T], free: int) -> list[T]:
        threads = self._take(free)
        try:
            if threads == 1:
                return [work(slice(0, size))]
            parts = min(most, PARTS_A_THREAD * threads)
            bounds = [slice(size * part // parts, size * (part + 1) // parts) for part in range(parts)]
            return _Shared(bounds, work).done(self._calls, threads - 1)
        finally:
            self._give(threads)

    def _free(self, most: int) -> int:
        """How many threads could take part now, the caller's among them."""
        possible = min(most, self._idle)
        # Asked only where it matters: it takes 10 microseconds.
        return max(1, min(possible, 1 + idle_cores())) if possible > 1 else 1

    def _take(self, wanted: int) -> int:
        with self._lock:
            threads = max(1, min(wanted, self._idle))
            self._idle -= threads
            if threads > 1:
                self._start_helpers()
        return threads

    def _start_helpers(self) -> None:
        # RuntimeError where the system gives no more threads: whoever calls does all parts then.
        with suppress(RuntimeError):
            while self._helpers < self._count - 1:
                threading.Thread(target=self._help, name=f"scan {self._helpers}", daemon=True).start()
                self._helpers += 1

    def _give(self, threads: int) -> None:
        with self._lock:
            self._idle += threads

    def _help(self) -> None:
        while (shared := self._calls.get()) is not None:
            shared.help()
            # Not kept until the next one: it may hold much.
            del shared


class _Shared(Generic[T]):
    """Parts that threads take one after the other, until none is left.

    A thread that comes late finds less to do, or nothing. One that has begun a part and is then kept from its core, as
    on a busy machine most are, is waited for as long as a part takes, and no longer: its part is done once more.
    """

    def __init__(self, bounds: Sequence[slice], work: Callable[[slice], T]) -> None:
        self._bounds = bounds
        self._work = work
        # Its next number is drawn by one thread at a time, as are all calls into C.
        self._next = count()
        self._answers: SimpleQueue[Answer[T]] = SimpleQueue()

    def done(self, calls: "SimpleQueue[_Shared[Any] | None]", helpers: int) -> list[T]:
        """All of them, by this thread and by those that listen to `calls`; raises what a part raises."""
        for _ in range(helpers):
            calls.put(self)
        began = perf_counter()
        own = self.help()
        patience = (perf_counter() - began) / max(1, own)
        answers: dict[int, T] = {}
        while len(answers) < len(self._bounds):
            try:
                part, answer = self._answers.get(timeout=patience)
            except Empty:
                part = next(part for part in range(len(self._bounds)) if part not in answers)
                answer = self._attempt(part)
            if isinstance(answer, BaseException):
                raise answer
            answers[part] = answer
        return [answers[part] for part in range(len(self._bounds))]

    def help(self) -> int:
        """Do parts until none is left; returns how many were done here."""
        done = 0
        while (part := next(self._next)) < len(self._bounds):
            self._answers.put((part, self._attempt(part)))
            done += 1
        return done

    def _attempt(self, part: int) -> T | BaseException:
        try:
            return self._work(self._bounds[part])
        except BaseException as error:
            return error


ONE_CORE = Cores()

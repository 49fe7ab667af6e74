"""The cores that scans may use: a scan that finds others idle has them take a part of it."""

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Answer = tuple[Any, BaseException | None]


class Cores:
    """At most `count` threads scan at once, those that call among them; safe to use from many threads.

    Threads of our own: an executor's took a fifth longer for a scan of 16 MB, and OpenMP's wait for each other by
    spinning, on cores that others need.
    """

    def __init__(self, count: int = 1) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._idle = count
        self._calls: SimpleQueue[tuple[Callable[[], Any], SimpleQueue[Answer]] | None] = SimpleQueue()
        self._helpers = 0

    def share(self, size: int, most: int, work: Callable[[slice], T]) -> list[T]:
        """What `work` makes of [0, size), in at most `most` parts that follow each other; raises what it raises."""
        parts = self._take(most)
        try:
            bounds = [slice(size * part // parts, size * (part + 1) // parts) for part in range(parts)]
            others = [self._begin(work, bound) for bound in bounds[1:]]
            try:
                own = work(bounds[0])
            finally:
                # Awaited whatever happens: they read what belongs to the caller.
                answers = [other.get() for other in others]
        finally:
            self._give(parts)
        for _, error in answers:
            if error is not None:
                raise error
        return [own, *(answer for answer, _ in answers)]

    def close(self) -> None:
        """Have the threads end when they are done."""
        for _ in range(self._helpers):
            self._calls.put(None)

    def _take(self, most: int) -> int:
        with self._lock:
            parts = max(1, min(most, self._idle))
            self._idle -= parts
            while parts > 1 and self._helpers < self._count - 1:
                threading.Thread(target=self._help, name=f"scan {self._helpers}", daemon=True).start()
                self._helpers += 1
        return parts

    def _give(self, parts: int) -> None:
        with self._lock:
            self._idle += parts

    def _begin(self, work: Callable[[slice], Any], bound: slice) -> "SimpleQueue[Answer]":
        answer: SimpleQueue[Answer] = SimpleQueue()
        self._calls.put((partial(work, bound), answer))
        return answer

    def _help(self) -> None:
        while (call := self._calls.get()) is not None:
            work, answer = call
            try:
                answer.put((work(), None))
            except BaseException as error:
                answer.put((None, error))
            # Not kept until the next one: it may hold much.
            del call, work, answer


ONE_CORE = Cores()

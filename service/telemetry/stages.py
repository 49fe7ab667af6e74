"""How long the stages of a search or a write take, told to whoever counts."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Literal

Stage = Literal["catch_up", "encode", "index", "store"]
# `with stages("index"):` round what is to be timed.
Stages = Callable[[Stage], AbstractContextManager[None]]


def untimed(stage: Stage) -> AbstractContextManager[None]:
    """Where nobody counts."""
    return nullcontext()


class Timed:
    """One stage, once; what breaks off is told, too."""

    # A class, as a generator would take three times as long: it is in the way of every search.
    __slots__ = ("_started", "_tell")

    def __init__(self, tell: Callable[[float], None]) -> None:
        """`tell` is given the seconds."""
        self._tell = tell

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, *raised: object) -> None:
        self._tell(perf_counter() - self._started)

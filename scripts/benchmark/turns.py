"""Two things that are compared take turns: of some calls each, so that both meet the noise, and each its own caches."""

import time
from collections.abc import Callable, Iterable
from typing import Any

TURN = 20


def timed(call: Callable[[Any], Any], values: Iterable[Any]) -> tuple[list[Any], list[float]]:
    """What the call gives for each value, and the seconds it takes."""
    results, seconds = [], []
    for value in values:
        began = time.perf_counter()
        results.append(call(value))
        seconds.append(time.perf_counter() - began)
    return results, seconds

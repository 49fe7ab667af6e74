"""What was measured, and whether it is what was aimed at."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from scripts.benchmark.plan import Case


@dataclass(frozen=True)
class Target:
    """A bound, inclusive: `most` or `least`."""

    most: float | None = None
    least: float | None = None

    def met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def __str__(self) -> str:
        return f"<= {self.most:,g}" if self.most is not None else f">= {self.least:,g}"


@dataclass(frozen=True)
class Figure:
    """One value of a part of the benchmark; without a target it is there to compare with."""

    part: str
    case: Case
    name: str
    value: float
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        return None if self.target is None else self.target.met(self.value)


@dataclass(frozen=True)
class Rival:
    """How one library, or one part of ours, searches the same codes; None where a figure has no meaning.

    `threads` is how many a search may use. `note` says why a library could not be measured.
    """

    name: str
    threads: str
    build_seconds: float | None = None
    search_ms: float | None = None
    recall: float | None = None
    disk_mb: float | None = None
    memory_mb: float | None = None
    note: str = ""


@dataclass
class Figures:
    """All that was measured so far."""

    figures: list[Figure] = field(default_factory=list)
    rivals: list[Rival] = field(default_factory=list)

    def add(
        self, part: str, case: Case, name: str, value: float, most: float | None = None, least: float | None = None
    ) -> None:
        """Note a value; `most` or `least` is the target."""
        target = None if most is None and least is None else Target(most, least)
        self.figures.append(Figure(part, case, name, float(value), target))

    def value(self, part: str, case: Case, name: str) -> float | None:
        """A value noted before, None where that part was not run."""
        for figure in self.figures:
            if (figure.part, figure.case, figure.name) == (part, case, name):
                return figure.value
        return None

    def content(self) -> dict[str, Any]:
        """As it goes into the JSON."""
        figures = [
            {
                "part": figure.part,
                "data": figure.case.data,
                "bits": figure.case.bits,
                "name": figure.name,
                "value": figure.value,
                "target": None if figure.target is None else str(figure.target),
                "met": figure.met,
            }
            for figure in self.figures
        ]
        return {"figures": figures, "rivals": [asdict(rival) for rival in self.rivals]}


def median_ms(seconds: Sequence[float]) -> float:
    """The median of times, in milliseconds."""
    return statistics.median(seconds) * 1e3


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """A percentile of times, in milliseconds: the smallest time that so many percent do not exceed."""
    return float(np.percentile(np.asarray(seconds), percent, method="inverted_cdf")) * 1e3


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios of times that were measured in pairs."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))

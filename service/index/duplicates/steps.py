"""The minimum spanning forest of all near pairs, in steps of distance where there are too many pairs for one.

Among dense codes most pairs are near, but few of them are in the forest. What is connected by pairs within a distance
needs no farther pair: it would be the last of a cycle. So a first step finds the pairs of a distance at which there are
few, and a farther one looks only at pairs of different components. Where all is one component, no step is left.
"""

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from models.errors import InvalidInputError
from service.index.duplicates.buckets import NO_PAIRS, PAIRS_AT_ONCE, Numbers, Pairs, as_words
from service.index.duplicates.chunks import Scheme, choose, near_pairs
from service.index.duplicates.forest import Forest, components
from service.untold import untold

# All pairs of 1,000,000 codes are 5e11 comparisons: by FAISS's pace in a search, about ten minutes on one core.
MOST_COST = 6e11
# To take up one pair that is near, in comparisons.
FOUND = 100
# A step that helps nothing may add so much to what the whole distance costs at once.
ADDED = 0.25
SEED = 0
SAMPLE_PAIRS = 2**18
# Of a normal distribution, for 95 %.
DEVIATIONS = 1.96


# Which share of the comparisons is done.
Compared = Callable[[float], None]


@dataclass(frozen=True)
class Estimate:
    """How many pairs are within each distance, (distance + 1,), judged by `drawn` pairs of `pairs`."""

    hits: NDArray[np.int64]
    drawn: int
    pairs: float

    def near(self, distance: int) -> float:
        """The number of pairs within a distance."""
        return self.pairs * float(self.hits[distance]) / self.drawn

    def interval(self, distance: int) -> tuple[float, float]:
        """What the number is within with 95 % confidence (Wilson 1927)."""
        share, squared = float(self.hits[distance]) / self.drawn, DEVIATIONS**2 / self.drawn
        middle = share + squared / 2
        half = DEVIATIONS * sqrt(share * (1 - share) / self.drawn + squared / self.drawn / 4)
        low, high = (middle - half) / (1 + squared), (middle + half) / (1 + squared)
        return self.pairs * max(0.0, low), self.pairs * high


@dataclass(frozen=True)
class Step:
    """All pairs up to a distance, looked for by a scheme, and what that and taking them up costs, in comparisons."""

    distance: int
    scheme: Scheme
    cost: float

    @property
    def found_cost(self) -> float:
        """What taking up the pairs costs."""
        return self.cost - self.scheme.cost


class Steps:
    """What the next step may be, of codes (n, bits / 8) of which those of one label (n,) are connected."""

    def __init__(self, codes: Codes, distance: int, done: int, labels: Numbers | None) -> None:
        self._codes, self._labels = codes, labels
        self._done, self._distance = done, distance
        self.estimate = estimate(codes, distance, labels)
        self.whole = self._step(distance)

    def next(self, spent: float) -> Step:
        """All that is left, or what costs a small part of that and may connect much."""
        if self.whole.found_cost <= self.whole.scheme.cost:
            return self.whole
        most = ADDED * min(self.whole.cost, MOST_COST) - spent
        # As far as it costs no more to take pairs up than to look for them.
        farthest = self._last(lambda step: step.cost <= most and step.found_cost <= step.scheme.cost)
        step = self._step(max(farthest, self._done + 1))
        return step if step.cost <= most else self.whole

    def farthest(self, spent: float) -> int:
        """The largest distance that does not cost too much."""
        return self._last(lambda step: spent + step.cost <= MOST_COST)

    def _last(self, does: Callable[[Step], bool]) -> int:
        """The largest distance whose step does: what costs too much at one does at all that are farther."""
        distances = range(self._done + 1, self._distance)
        return self._done + bisect(distances, False, key=lambda distance: not does(self._step(distance)))

    def _step(self, distance: int) -> Step:
        scheme = choose(self._codes, distance, self._labels)
        return Step(distance, scheme, scheme.cost + FOUND * self.estimate.near(distance))


def forest(codes: Codes, distance: int, going: Callable[[], None], compared: Compared = untold) -> Pairs:
    """The minimum spanning forest of the pairs of different codes (n, bits / 8) within `distance` (inclusive).

    `going` is called again and again; what it raises ends the work. `compared` is told which share of the comparisons
    that are expected is done. Raises InvalidInputError where it would take too long, by what a sample says, or where it
    does, against what the sample said.
    """
    edges, labels, done, spent, share = NO_PAIRS, None, 0, 0.0, 0.0
    while done < distance and (labels is None or labels.any()):
        steps = Steps(codes, distance, done, labels)
        step = steps.next(spent)
        if spent + step.cost > MOST_COST:
            raise _too_much(steps, len(codes), distance, spent)
        before, expected = spent, spent + steps.whole.cost
        spent += step.scheme.cost
        grown = Forest(len(codes), step.distance, edges)
        for number, pairs in enumerate(near_pairs(codes, step.distance, step.scheme, labels), 1):
            grown.add(pairs)
            share = max(share, (before + min(number * PAIRS_AT_ONCE, step.cost)) / expected)
            compared(min(share, 1.0))
            spent += FOUND * len(pairs.first)
            if spent > MOST_COST:
                raise _too_much(steps, len(codes), distance, MOST_COST)
            going()
        edges, done = grown.edges(), step.distance
        labels = components(len(codes), edges)
        going()
    return edges


def estimate(codes: Codes, distance: int, labels: Numbers | None) -> Estimate:
    """How many pairs of codes (n, bits / 8) of different labels (n,) are near, from pairs drawn at random."""
    left, right = np.random.default_rng(SEED).integers(0, len(codes), (2, SAMPLE_PAIRS))
    unlike = left != right if labels is None else labels[left] != labels[right]
    apart = np.bitwise_count(as_words(codes[left[unlike]]) ^ as_words(codes[right[unlike]])).sum(axis=0, dtype=np.int32)
    hits = np.cumsum(np.bincount(apart[apart <= distance], minlength=distance + 1))
    # Pairs of one with itself are drawn, too.
    return Estimate(hits, SAMPLE_PAIRS, len(codes) ** 2 / 2)


def _too_much(steps: Steps, codes: int, distance: int, spent: float) -> InvalidInputError:
    low, high = steps.estimate.interval(distance)
    takes = spent + steps.whole.cost
    return InvalidInputError(
        f"expected one that takes about {MOST_COST:.1e} comparisons of codes at most, got {distance}, which takes "
        f"about {takes:.1e} among {codes} different codes, {low:.1e} to {high:.1e} pairs of which are near (95 % "
        f"confidence, by a sample); {steps.farthest(spent)} would do",
        "max_distance",
    )

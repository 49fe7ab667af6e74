"""How good the codes of a collection are to search by: what its bits and their distances say, as of one moment."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from models.evaluation.metrics import bit_correlation, entropy, share_of_ones
from service.index.flat import compact
from service.index.snapshot import Snapshot

SEED = 0
CORRELATED = 10_000
PAIRS = 100_000
NEIGHBOURS_OF = 200
QUERIES_AT_ONCE = 20


@dataclass(frozen=True)
class Correlation:
    """Pearson correlations between each two bits, over a sample of so many codes; `bits` are the two of the largest."""

    largest: float
    bits: tuple[int, int]
    mean: float
    sample: int


@dataclass(frozen=True)
class Histogram:
    """How many of a sample are at each distance from 0 to the number of bits."""

    counts: NDArray[np.int64]
    sample: int


@dataclass(frozen=True)
class Health:
    """Of all codes: the share of ones (bits,) and the entropy of each bit, and how many codes differ.

    Of samples: correlation by magnitude, distances of pairs drawn at random, and distances to the nearest other item;
    these are None where there are no two items.
    """

    share_of_ones: NDArray[np.float64]
    entropy: NDArray[np.float64]
    distinct: int
    correlation: Correlation | None
    pairs: Histogram | None
    nearest: Histogram | None


def health(now: Snapshot) -> Health | None:
    """What the live codes say; None of no codes. Takes about a second of a million codes of 128 bits."""
    live = compact(now)
    codes, sequences = live.codes, live.sequences
    if not len(codes):
        return None
    share = share_of_ones(codes)
    if len(codes) == 1:
        return Health(share, entropy(share), 1, None, None, None)
    rng = np.random.default_rng(SEED)
    return Health(
        share,
        entropy(share),
        _distinct(codes),
        _correlation(codes[rng.choice(len(codes), min(CORRELATED, len(codes)), replace=False)]),
        _pairs(codes, rng),
        _nearest(now, codes, sequences, rng),
    )


def _distinct(codes: Codes) -> int:
    order = np.lexsort(codes.T) if codes.shape[1] % 8 else np.lexsort(codes.view(np.uint64).T)
    ordered = codes[order]
    return 1 + int((ordered[1:] != ordered[:-1]).any(axis=1).sum())


def _correlation(codes: Codes) -> Correlation:
    magnitudes = np.triu(np.abs(bit_correlation(codes)), 1)
    bits = len(magnitudes)
    one, other = divmod(int(magnitudes.argmax()), bits)
    return Correlation(
        float(magnitudes.max()), (one, other), float(magnitudes.sum() / (bits * (bits - 1) / 2)), len(codes)
    )


def _pairs(codes: Codes, rng: np.random.Generator) -> Histogram:
    left = rng.integers(0, len(codes), PAIRS)
    # Another one, each equally likely.
    right = (left + rng.integers(1, len(codes), PAIRS)) % len(codes)
    apart = np.bitwise_count(codes[left] ^ codes[right]).sum(axis=1, dtype=np.int64)
    return Histogram(np.bincount(apart, minlength=codes.shape[1] * 8 + 1), PAIRS)


def _nearest(now: Snapshot, codes: Codes, sequences: NDArray[np.int64], rng: np.random.Generator) -> Histogram:
    chosen = rng.choice(len(codes), min(NEIGHBOURS_OF, len(codes)), replace=False)
    distances = []
    for start in range(0, len(chosen), QUERIES_AT_ONCE):
        some = chosen[start : start + QUERIES_AT_ONCE]
        # The item itself is among them: ties with the last are all given.
        found = now.nearest(np.ascontiguousarray(codes[some]), 2, exact=True)
        for own, each in zip(sequences[some], found, strict=True):
            distances.append(int(each.distances[each.sequences != own][0]))
    return Histogram(np.bincount(distances, minlength=codes.shape[1] * 8 + 1), len(chosen))

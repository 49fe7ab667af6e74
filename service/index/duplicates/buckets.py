"""Codes sorted into buckets, each compared with the others of its bucket, in blocks of bounded size.

Small buckets by NumPy, many of them at once; large ones by FAISS, one after the other.
"""

from collections.abc import Iterator
from typing import NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from models.codes import Codes

Numbers = NDArray[np.int64]
Words = NDArray[np.uint64]

# To call FAISS takes as long as NumPy takes for all pairs of a bucket of about so many codes.
FEW = 96
ROWS_AT_ONCE = 1024
# Should all of so many pairs be near, they take 50 MB.
PAIRS_AT_ONCE = 2**21


class Pairs(NamedTuple):
    """Pairs by number, first < second, (p,) int64 each, and how far they are apart, (p,) int32."""

    first: Numbers
    second: Numbers
    distances: NDArray[np.int32]

    def take(self, chosen: NDArray[np.bool_] | Numbers) -> "Pairs":
        """Those that are chosen."""
        return Pairs(self.first[chosen], self.second[chosen], self.distances[chosen])


NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))


def as_words(codes: Codes) -> Words:
    """Codes (n, bits / 8) as (w, n) words of 64 bits, zeros added to the last."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return np.ascontiguousarray(padded.view(np.uint64).T)


def joined(parts: list[Pairs]) -> Pairs:
    """All of them, one after the other."""
    first, second, distances = (np.concatenate(column) for column in zip(NO_PAIRS, *parts, strict=True))
    return Pairs(first, second, distances)


def compare(
    codes: Codes, keys: NDArray[np.uint64], numbers: Numbers, labels: Numbers, distance: int
) -> Iterator[Pairs]:
    """Pairs within `distance` among those codes (n, bits / 8) that have one key (n,) and different labels (n,).

    Sorted by key, within a key so that equal labels follow each other. `numbers` (n,) are what the pairs are told by.
    Blocks may be empty.
    """
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    ends = np.append(starts, len(keys))[1:]
    unlike = labels[starts] != labels[ends - 1]
    small = ends - starts <= FEW
    pieces = (
        _small(as_words(codes), starts[unlike & small], (ends - starts)[unlike & small], distance),
        _large(codes, labels, starts[unlike & ~small], ends[unlike & ~small], distance),
    )
    for piece in pieces:
        for found in piece:
            one, other, apart = found.take(labels[found.first] != labels[found.second])
            one, other = numbers[one], numbers[other]
            yield Pairs(np.minimum(one, other), np.maximum(one, other), apart)


def _small(words: Words, starts: Numbers, sizes: Numbers, distance: int) -> Iterator[Pairs]:
    """Each row with the next one of its bucket, then with the one after that, until no bucket has as many."""
    pairs = np.cumsum(sizes * (sizes - 1) // 2)
    cuts = np.searchsorted(pairs, np.arange(PAIRS_AT_ONCE, pairs[-1] if len(pairs) else 0, PAIRS_AT_ONCE))
    for some_starts, some_sizes in zip(np.split(starts, cuts), np.split(sizes, cuts), strict=True):
        ends = np.repeat(some_starts + some_sizes, some_sizes)
        rows = np.arange(len(ends)) + np.repeat(some_starts - np.cumsum(some_sizes) + some_sizes, some_sizes)
        held = []
        for offset in range(1, int(some_sizes.max(initial=0))):
            inside = rows + offset < ends
            rows, ends = rows[inside], ends[inside]
            others = rows + offset
            apart = np.zeros(len(rows), np.uint16)
            for word in words:
                apart += np.bitwise_count(word[rows] ^ word[others])
            near = np.flatnonzero(apart <= distance)
            held.append(Pairs(rows[near], others[near], apart[near].astype(np.int32)))
        yield joined(held)


def _large(codes: Codes, labels: Numbers, starts: Numbers, ends: Numbers, distance: int) -> Iterator[Pairs]:
    """Each row with those below it, but for those of the label that a block of rows begins with."""
    held, compared = [], 0
    changes = np.append(np.flatnonzero(labels[1:] != labels[:-1]) + 1, len(labels))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        for top in range(start, end, ROWS_AT_ONCE):
            bottom = min(top + ROWS_AT_ONCE, end)
            columns = PAIRS_AT_ONCE // (bottom - top)
            for left in range(int(changes[np.searchsorted(changes, top, side="right")]), end, columns):
                right = min(left + columns, end)
                held.append(_range(codes, slice(top, bottom), slice(left, right), distance))
                compared += (bottom - top) * (right - left)
                if compared >= PAIRS_AT_ONCE:
                    yield _below(joined(held))
                    held, compared = [], 0
    yield _below(joined(held))


def _below(found: Pairs) -> Pairs:
    return found.take(np.flatnonzero(found.first < found.second))


def _range(codes: Codes, rows: slice, others: slice, distance: int) -> Pairs:
    """Pairs of some rows and others that are within `distance` (inclusive)."""
    queries, among = codes[rows], codes[others]
    found = faiss.RangeSearchResult(len(queries))
    # FAISS's radius is exclusive.
    faiss.hamming_range_search(  # type: ignore[attr-defined]  # SWIG adds it when imported
        faiss.swig_ptr(queries), faiss.swig_ptr(among), len(queries), len(among), distance + 1, codes.shape[1], found
    )
    ends = faiss.rev_swig_ptr(found.lims, len(queries) + 1).astype(np.int64)
    count = int(ends[-1])
    if count == 0:
        return NO_PAIRS
    first = np.repeat(np.arange(rows.start, rows.stop), ends[1:] - ends[:-1])
    second = faiss.rev_swig_ptr(found.labels, count) + others.start
    return Pairs(first, second, faiss.rev_swig_ptr(found.distances, count).astype(np.int32))

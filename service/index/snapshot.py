"""A collection's codes as they were at one moment, and the searches over them. Nothing here waits or changes.

Exact search is brute force over the rows: one pass over the codes. An IVF index, where the collection has one, is asked
for what it holds, and only the rows that came after it was built are passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from service.index import scans
from service.index.cores import ONE_CORE, Cores
from service.index.ivf import Ivf

SLACK = 32
# Of an IVF index few are asked for at first: FAISS takes half as long again for 84 as for 20.
IVF_SLACKS = (16, 256)
MOST_AT_ONCE = 2**20
UNKNOWN = np.iinfo(np.uint32).max


class Columns(NamedTuple):
    """A row an item; the arrays may be longer than there are rows.

    `codes` (n, bits / 8) uint8; `sequences` (n,) int64, ascending; `died` (n,) int32, the epoch in which it was
    removed; `order` (n,) uint32, its place in the order of ids, or UNKNOWN.
    """

    codes: Codes
    sequences: NDArray[np.int64]
    died: NDArray[np.int32]
    order: NDArray[np.uint32]

    def each(self) -> tuple[NDArray[Any], ...]:
        """All of them, for what is done to every column alike."""
        return self.codes, self.sequences, self.died, self.order


class Candidates(NamedTuple):
    """What was found for one query: distances (n,) int32, ascending, sequence numbers (n,) int64.

    `order` (n,) uint32 are the places in the order of ids, UNKNOWN of those that came lately.
    """

    distances: NDArray[np.int32]
    sequences: NDArray[np.int64]
    order: NDArray[np.uint32]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "Candidates":
        """Those that are chosen."""
        return Candidates(self.distances[chosen], self.sequences[chosen], self.order[chosen])


NOTHING = Candidates(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.uint32))


@dataclass(frozen=True)
class Snapshot:
    """Rows [0, size) of an index at one moment; a row was removed then if it had died by `epoch`."""

    columns: Columns
    size: int
    removed: int
    epoch: int
    ivf: Ivf | None = None
    cores: Cores = ONE_CORE

    @property
    def live(self) -> int:
        """How many items are in it."""
        return self.size - self.removed

    @property
    def last(self) -> int:
        """The highest sequence number in it, 0 where it is empty."""
        return int(self.columns.sequences[self.size - 1]) if self.size else 0

    def nearest(self, queries: Codes, limit: int, exact: bool = False) -> list[Candidates]:
        """The `limit` nearest live items of each query **and all tied with the last**; queries (n, bits / 8) uint8.

        Sorted by distance; the caller, who knows the ids, orders and cuts ties. With an IVF index, and unless
        `exact`, some may be missed, but never so many that fewer than `limit` come back of a larger collection.
        """
        wanted = min(limit, self.live)
        if wanted <= 0:
            return [NOTHING] * len(queries)
        if self.ivf is not None and not exact:
            return self._approximate(self.ivf, queries, wanted)
        return self._exact(queries, wanted, 0)

    def within(self, query: Codes, max_distance: int, first: int = 0) -> Candidates:
        """Every live item from row `first` on within `max_distance` (inclusive) of a query (bits / 8,)."""
        distances, rows = scans.within(query, self.columns.codes[first : self.size], max_distance, self.cores)
        rows += first
        if self.removed:
            alive = self.columns.died[rows] > self.epoch
            distances, rows = distances[alive], rows[alive]
        return self._at(distances, rows)

    def among(self, queries: Codes, limit: int, sequences: NDArray[np.int64]) -> list[Candidates]:
        """As `nearest`, exactly, but only of the items with these sequence numbers, ascending."""
        rows = self.rows(sequences)
        wanted = min(limit, len(rows))
        if wanted == 0:
            return [NOTHING] * len(queries)
        chosen = Snapshot(Columns(*[column[rows] for column in self.columns.each()]), len(rows), 0, 0, None, self.cores)
        return chosen._exact(queries, wanted, 0)

    def rows(self, sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """The live rows of sequence numbers, ascending."""
        known = self.columns.sequences[: self.size]
        rows = np.searchsorted(known, sequences)
        inside = rows < self.size
        rows, sequences = rows[inside], sequences[inside]
        rows = rows[known[rows] == sequences]
        live: NDArray[np.int64] = rows[self.columns.died[rows] > self.epoch] if self.removed else rows
        return live

    def codes(self, sequences: NDArray[np.int64]) -> tuple[Codes, NDArray[np.bool_]]:
        """Codes of sequence numbers (n,), removed or not; and which (n,) of them are still known at all."""
        known = self.columns.sequences[: self.size]
        rows = np.searchsorted(known, sequences)
        here = rows < self.size
        here[here] = known[rows[here]] == sequences[here]
        return self.columns.codes[rows[here]], here

    def _at(self, distances: NDArray[np.int32], rows: NDArray[np.int64]) -> Candidates:
        return Candidates(distances, self.columns.sequences[rows], self.columns.order[rows])

    def _exact(self, queries: Codes, wanted: int, first: int) -> list[Candidates]:
        """`nearest` by brute force over the rows from `first` on."""
        codes = self.columns.codes[first : self.size]
        # Room for ties and removed rows: with it, one pass nearly always holds every tie of the last place.
        k = min(len(codes), 2 * wanted + SLACK)
        if k == 0:
            return [NOTHING] * len(queries)
        found = []
        for part in _parts(queries, k):
            distances, rows = scans.nearest(part, codes, k, self.cores)
            rows += first
            found += [self._complete(*each, wanted, first) for each in zip(part, distances, rows, strict=True)]
        return found

    def _complete(
        self, query: Codes, distances: NDArray[np.int32], rows: NDArray[np.int64], wanted: int, first: int
    ) -> Candidates:
        """The first `wanted` that live, with all ties of the last, from a query's k nearest rows."""
        seen, farthest = len(rows) < self.size - first, int(distances[-1])
        if self.removed:
            alive = self.columns.died[rows] > self.epoch
            distances, rows = distances[alive], rows[alive]
        if len(distances) < wanted and seen:
            # Nearly all of the nearest were removed lately: look past as many as there can be.
            k = min(self.size - first, wanted + self.removed)
            (distances,), (rows,) = scans.nearest(query[None], self.columns.codes[first : self.size], k, self.cores)
            farthest, seen, rows = int(distances[-1]), k < self.size - first, rows + first
            alive = self.columns.died[rows] > self.epoch
            distances, rows = distances[alive], rows[alive]
        if len(distances) <= wanted and not seen:
            return self._at(distances, rows)
        last = int(distances[min(wanted, len(distances)) - 1])
        if seen and last == farthest:
            return self.within(query, last, first)
        end = int(np.searchsorted(distances, last, "right"))
        return self._at(distances[:end], rows[:end])

    def _approximate(self, ivf: Ivf, queries: Codes, wanted: int) -> list[Candidates]:
        """What the IVF index finds, together with an exact search of the rows that came after it was built."""
        first = int(np.searchsorted(self.columns.sequences[: self.size], ivf.last, "right"))
        later = self._exact(queries, wanted, first)
        found: list[Candidates | None] = [None] * len(queries)
        for slack in IVF_SLACKS:
            places = [place for place, each in enumerate(found) if each is None]
            if not places:
                break
            asked = 2 * wanted + slack
            for place, old in zip(places, ivf.nearest(queries[places], asked), strict=True):
                # Where so many are tied that they are not all among the most that are asked for, these have to do.
                ties_cut = slack == IVF_SLACKS[-1]
                cut = len(old[0]) == asked
                found[place] = self._joined(*old, later[place], wanted, cut, ties_cut)
        # Most of the nearest may have been removed lately: what lives lies beyond what was asked for.
        pairs = zip(queries, found, strict=True)
        return [self._exact(query[None], wanted, 0)[0] if each is None else each for query, each in pairs]

    def _joined(
        self,
        distances: NDArray[np.int32],
        sequences: NDArray[np.int64],
        later: Candidates,
        wanted: int,
        cut: bool,
        ties_cut: bool,
    ) -> Candidates | None:
        """The first `wanted` of what the IVF index gave and of what came later, and all tied with the last.

        None where it takes more than it gave; `cut`: it holds more. `ties_cut` lets the last ties be incomplete.
        """
        if len(later.distances) == 0 and len(distances) > wanted:
            # What is behind the ties of the last need not be looked at, unless one before it is dead.
            end = int(distances.searchsorted(distances[wanted - 1], "right"))
            if end < len(distances):
                nearest = self._living(distances[:end], sequences[:end])
                if len(nearest.distances) == end:
                    return nearest
        held = self._living(distances, sequences)
        together = Candidates(
            np.concatenate([held.distances, later.distances]),
            np.concatenate([held.sequences, later.sequences]),
            np.concatenate([held.order, later.order]),
        )
        order = together.distances.argsort(kind="stable")
        if len(order) < wanted:
            return None
        last = together.distances[order[wanted - 1]]
        if cut and (distances[-1] < last or (distances[-1] == last and not ties_cut)):
            return None
        return together.take(order[: int(together.distances[order].searchsorted(last, "right"))])

    def _living(self, distances: NDArray[np.int32], sequences: NDArray[np.int64]) -> Candidates:
        """Those that are in the index, removed ones left out."""
        known = self.columns.sequences[: self.size]
        rows = np.minimum(known.searchsorted(sequences), self.size - 1)
        alive = known[rows] == sequences
        if self.removed:
            alive &= self.columns.died[rows] > self.epoch
        if not alive.all():
            distances, rows = distances[alive], rows[alive]
        return self._at(distances, rows)


def _parts(queries: Codes, k: int) -> Iterator[Codes]:
    """So many queries at once that what FAISS gives back stays small."""
    step = max(1, MOST_AT_ONCE // k)
    for start in range(0, len(queries), step):
        yield np.ascontiguousarray(queries[start : start + step])

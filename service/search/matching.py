"""Which items a filter lets through, exactly, at any moment of the index.

The first answer reads the whole collection once. It is kept, with the highest sequence number it knows of; the next
one reads only the items above that. Items that are removed meanwhile are no longer in the snapshot that is searched.
They are forgotten once they may be many: an item that is written anew has a new number each time.

A search that is `hurried` reads for a moment only. Then it raises TakesLongError, which brings along how to read on in
slices: the caller takes turns with others, and searches again.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from service.errors import TakesLongError
from service.filters import Condition
from service.index.snapshot import Candidates, Snapshot
from service.store.errors import StoreBusyError
from service.store.filtering import Compiled
from service.store.reader import Reader
from service.store.scan import Scan, Sequences

ATTEMPTS = 100
KEPT_FILTERS = 32
KEPT_SEQUENCES = 4_000_000
# What is gone is looked for when so many have come, and a quarter of what there was: so it costs each the same.
FORGET_FROM = 1024
# Up to this share of the items, theirs are searched alone; above it, the nearest are looked through.
FEW = 0.05
# Up to so many items are read at once, which takes as long as a large search: 2 microseconds each, or a few.
READ_AT_ONCE = 2**15
# What came since is passed over in a tenth of a microsecond where it is of another collection; to look up an item takes
# twenty times that.
PASSED_OVER = 20
# How long a hurried search reads before it gives way.
HURRIED_SECONDS = 0.02
# Of searches that went away: how many of their unfinished scans are kept, for who asks for the same again.
UNFINISHED_SCANS = 4
# A collection's number, and a filter on it.
Key = tuple[int, Condition]


class Kept(NamedTuple):
    """What a filter lets through: sequence numbers (n,) int64, ascending; the highest number given by then.

    `living`: how many they were when none of them was known to be gone.
    """

    sequences: Sequences
    highest: int
    living: int


NOTHING_KEPT = Kept(np.empty(0, np.int64), 0, 0)


@dataclass(frozen=True, eq=False)
class _Growing:
    """What was kept of a filter, and the scan that reads on from there."""

    base: Kept
    scan: Scan


class Matching:
    """One per process: remembers the items of the filters that were last used, 8 bytes each, about 4 million."""

    def __init__(self, reader: Reader, reader_of_many: Reader) -> None:
        """Each reader is for this alone: what takes long must not hold up what does not."""
        self._reader, self._reader_of_many = reader, reader_of_many
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        # Those that some search waits for, and the last few, finished or not.
        self._scans: WeakValueDictionary[Key, _Growing] = WeakValueDictionary()
        self._unfinished: OrderedDict[Key, _Growing] = OrderedDict()

    def nearest(
        self,
        collection: int,
        condition: Condition,
        snapshot: Callable[[], Snapshot],
        queries: Codes,
        limit: int,
        hurried: bool = False,
    ) -> list[Candidates]:
        """The `limit` nearest of the items that the filter lets through, and all tied with the last, for each query.

        Raises TakesLongError where it takes long to read for it, and it is `hurried`.
        """
        key, before = (collection, condition), snapshot()
        came = before.last - self._kept.get(key, NOTHING_KEPT).highest
        by_ids = before.live * PASSED_OVER < came
        many = (before.live if by_ids else came) > READ_AT_ONCE
        growing = self._growing(key, by_ids)
        if key not in self._kept and (found := self._among_the_nearest(growing.scan.compiled, before, queries, limit)):
            return found
        deadline = monotonic() + HURRIED_SECONDS
        if many and hurried:
            raise self._takes_long(key, growing)
        for _ in range(ATTEMPTS):
            while not growing.scan.step(self._reader_of_many if many else self._reader, HURRIED_SECONDS):
                if hurried and monotonic() >= deadline:
                    raise self._takes_long(key, growing)
            kept = self._add(key, growing)
            now = snapshot()
            # What was written between the two looks is not in `kept`.
            if now.last <= kept.highest:
                return _search(now, queries, limit, self._living(key, kept, now))
        raise StoreBusyError("expected the collection to rest for a moment, it changes faster than it can be read")

    def _among_the_nearest(
        self, compiled: Compiled, now: Snapshot, queries: Codes, limit: int
    ) -> list[Candidates] | None:
        """The answer, where enough of the nearest few are let through; else None."""
        near = now.nearest(queries, 4 * limit, exact=True)
        looked_at = {int(each) for one in near for each in one.sequences}
        through = self._reader.lets_through(compiled, looked_at, HURRIED_SECONDS)
        if through is None:
            # Many items, or long payloads, by a long filter: read once, by turns with others.
            return None
        found = []
        for each in near:
            verdicts = [through.get(sequence) for sequence in each.sequences.tolist()]
            chosen = np.array([verdict is True for verdict in verdicts], bool)
            complete = len(each.sequences) == now.live or np.count_nonzero(chosen) >= limit
            # One that is gone may have been replaced by one that is let through.
            if not complete or None in verdicts:
                return None
            found.append(_nearest_of(each, chosen, limit))
        return found

    def _advance(self, key: Key, growing: "_Growing") -> bool:
        """Read on for a slice; returns whether all is read by now that a search needs."""
        if not growing.scan.step(self._reader_of_many):
            return False
        self._add(key, growing)
        return True

    def _growing(self, key: Key, by_ids: bool) -> "_Growing":
        """What is kept, and the scan that goes on from there: one for all searches that need it at one time."""
        with self._lock:
            growing = self._scans.get(key)
            if growing is None:
                base = self._kept.get(key, NOTHING_KEPT)
                growing = self._scans[key] = _Growing(base, Scan(*key, base.highest, by_ids))
            return growing

    def _takes_long(self, key: Key, growing: "_Growing") -> TakesLongError:
        """The error that brings the scan along; it is kept for a while should that caller go away."""
        with self._lock:
            self._unfinished[key] = growing
            self._unfinished.move_to_end(key)
            while len(self._unfinished) > UNFINISHED_SCANS:
                self._unfinished.popitem(last=False)
        return TakesLongError(partial(self._advance, key, growing))

    def _add(self, key: Key, growing: "_Growing") -> Kept:
        """Keep what was kept with what the scan has found since; the next search begins another scan there."""
        base, scan = growing.base, growing.scan
        highest = scan.highest
        found = scan.found()
        # Another thread may have gone on since.
        found = found[: np.searchsorted(found, highest, "right")]
        sequences = np.concatenate([base.sequences, found]) if len(found) else base.sequences
        kept = Kept(sequences, highest, base.living if base.highest else len(sequences))
        with self._lock:
            self._scans.pop(key, None)
            self._unfinished.pop(key, None)
            known = self._kept.get(key, NOTHING_KEPT)
        if known.highest >= highest:
            return known
        self._keep(key, kept)
        return kept

    def _living(self, key: Key, kept: Kept, later: Snapshot) -> Sequences:
        """What is kept, without those that a later snapshot no longer holds where they may be many."""
        if len(kept.sequences) <= kept.living + kept.living // 4 + FORGET_FROM:
            return kept.sequences
        # No number is given twice: what is gone stays away.
        living = later.columns.sequences[later.rows(kept.sequences)]
        self._keep(key, Kept(living, kept.highest, len(living)))
        return living

    def _keep(self, key: Key, kept: Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            # The last one stays, however many it lets through: a search waits for it.
            while len(self._kept) > 1 and (
                len(self._kept) > KEPT_FILTERS
                or sum(len(each.sequences) for each in self._kept.values()) > KEPT_SEQUENCES
            ):
                self._kept.popitem(last=False)


def _search(now: Snapshot, queries: Codes, limit: int, through: Sequences) -> list[Candidates]:
    share = len(through) / max(1, now.live)
    if share <= FEW:
        return now.among(queries, limit, through)
    near = now.nearest(queries, int(2 * limit / share), exact=True)
    found = []
    for query, each in zip(queries, near, strict=True):
        places = np.minimum(np.searchsorted(through, each.sequences), len(through) - 1)
        chosen = through[places] == each.sequences
        if np.count_nonzero(chosen) >= limit or len(each.sequences) == now.live:
            found.append(_nearest_of(each, chosen, limit))
        else:
            found += now.among(query[None], limit, through)
    return found


def _nearest_of(candidates: Candidates, chosen: NDArray[np.bool_], limit: int) -> Candidates:
    """The `limit` nearest of the candidates that are chosen, and all tied with the last."""
    kept = candidates.take(chosen)
    if len(kept.distances) <= limit:
        return kept
    return kept.take(slice(int(np.searchsorted(kept.distances, kept.distances[limit - 1], "right"))))

"""Which items a filter lets through, exactly, at any moment of the index.

The first answer reads the whole collection once. It is kept, with the highest sequence number it knows of; the next
one reads only the items above that. Items that are removed meanwhile are no longer in the snapshot that is searched.
They are forgotten once they may be many: an item that is written anew has a new number each time.

To read a million takes seconds: that is for a reader of its own, and who is in a hurry is told so. All else would wait.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from service.errors import TakesLongError
from service.filters import Condition
from service.index.snapshot import Candidates, Snapshot
from service.store.errors import StoreBusyError
from service.store.reader import Reader

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
Sequences = NDArray[np.int64]
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


class Matching:
    """One per process: remembers the items of the filters that were last used, 8 bytes each, 4 million at most."""

    def __init__(self, reader: Reader, reader_of_many: Reader) -> None:
        """Each reader is for this alone: what takes long must not hold up what does not."""
        self._reader, self._reader_of_many = reader, reader_of_many
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

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

        Raises TakesLongError where many items have to be read for it, and it is `hurried`.
        """
        key, before = (collection, condition), snapshot()
        if key not in self._kept and (found := self._among_the_nearest(condition, before, queries, limit)):
            return found
        came = before.last - self._kept.get(key, NOTHING_KEPT).highest
        by_ids = before.live * PASSED_OVER < came
        many = (before.live if by_ids else came) > READ_AT_ONCE
        if many and hurried:
            raise TakesLongError
        for _ in range(ATTEMPTS):
            kept = self._through(key, self._reader_of_many if many else self._reader, by_ids)
            now = snapshot()
            # What was written between the two looks is not in `kept`.
            if now.last <= kept.highest:
                return _search(now, queries, limit, self._living(key, kept, now))
        raise StoreBusyError("expected the collection to rest for a moment, it changes faster than it can be read")

    def _among_the_nearest(
        self, condition: Condition, now: Snapshot, queries: Codes, limit: int
    ) -> list[Candidates] | None:
        """The answer, where enough of the nearest few are let through; else None."""
        near = now.nearest(queries, 4 * limit, exact=True)
        through = self._reader.lets_through(condition, {int(each) for one in near for each in one.sequences})
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

    def _through(self, key: Key, reader: Reader, by_ids: bool) -> Kept:
        with self._lock:
            known = self._kept.get(key, NOTHING_KEPT)
        more, highest = reader.matching(*key, known.highest, by_ids)
        sequences = np.concatenate([known.sequences, np.array(more, np.int64)]) if more else known.sequences
        kept = Kept(sequences, highest, known.living if known.highest else len(sequences))
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
            while self._kept and (
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

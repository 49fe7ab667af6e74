"""Near-duplicates of a whole collection, as of one moment, however long it takes and whatever is written meanwhile."""

import itertools
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.errors import InvalidInputError
from service.index.duplicates.groups import Groups, find
from service.index.follower import Follower
from service.index.memory import give_back
from service.store.errors import StoreBusyError, unknown_collection
from service.store.reader import Reader
from service.store.schema import CollectionRow


class Duplicate(NamedTuple):
    """An item of a group: the nearest of those listed before it, and how far that is; the first one has neither."""

    id: str
    of: str | None
    distance: int


class Ids:
    """Many ids, ascending, in little more than their own bytes."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        return self._text[self._ends[place] : self._ends[place + 1]].decode()

    def append(self, item_id: str) -> None:
        """Add an id that comes after all before."""
        self._text += item_id.encode()
        self._ends.append(len(self._text))


@dataclass(frozen=True)
class Found:
    """Groups of two items or more in the order of the ids that come first in them, told by number from 1."""

    ids: Ids
    groups: Groups

    def after(self, item_id: str | None) -> range:
        """The numbers of the groups whose first id comes after this one; of all where it is None."""
        firsts = self.groups.firsts
        # By code points, as UTF-8 and the store do.
        skipped = 0 if item_id is None else bisect_right(firsts, item_id, key=lambda place: self.ids[int(place)])
        return range(skipped + 1, len(self.groups) + 1)

    def members(self, number: int) -> Iterator[Duplicate]:
        """A group: the smallest id first, then always the item that is nearest to one listed before it."""
        for place, of, distance in self.groups.members(number - 1):
            yield Duplicate(self.ids[place], None if of is None else self.ids[of], distance)


class Duplicates:
    """Reads at length, with a connection of its own."""

    def __init__(self, reader: Reader, follower: Follower) -> None:
        self._reader = reader
        self._follower = follower

    def find(self, name: str, max_distance: int, going: Callable[[], None]) -> Found:
        """All items of a collection that are connected within `max_distance` (inclusive).

        `going` is called again and again; what it raises ends the work. Raises UnknownCollectionError, and
        InvalidInputError where the distance is too large for this collection.
        """
        looked = self._follower.look(name)
        if looked is None:
            raise unknown_collection(name)
        row, _ = looked
        if max_distance > row.settings.bits // 2:
            raise InvalidInputError(
                f"expected at most half of the {row.settings.bits} bits, got {max_distance}", "max_distance"
            )
        ids, sequences = Ids(), array("q")
        with self._reader.all_by_id(row.number) as blocks:
            if not self._is_named(name, row):
                # Re-coded in between: what the moment shows of it may be half discarded.
                raise StoreBusyError("expected the collection to rest for a moment, its re-coding was just finished")
            # No older than the ids, and a code stays the same as long as its sequence number.
            now = self._follower.snapshot(row)
            for block in blocks:
                for sequence, item_id in block:
                    ids.append(item_id)
                    sequences.append(sequence)
                going()
        codes, here = now.codes(np.frombuffer(sequences, np.int64))
        if not here.all():
            # Removed and compacted away in the moment between the two.
            ids = _chosen(ids, here.tolist())
        found = Found(ids, find(codes, max_distance, going))
        give_back()
        return found

    def _is_named(self, name: str, row: CollectionRow) -> bool:
        looked = self._follower.look(name)
        return looked is not None and looked[0].number == row.number


def _chosen(ids: Ids, chosen: list[bool]) -> Ids:
    kept = Ids()
    for place in itertools.compress(range(len(ids)), chosen):
        kept.append(ids[place])
    return kept

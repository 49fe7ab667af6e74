"""Near-duplicates of a whole collection, as of one moment, however long it takes and whatever is written meanwhile."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from models.codes import Codes
from models.errors import InvalidInputError
from service.collections.backend import Backend, Moments
from service.collections.steadily import steadily
from service.ids import Ids
from service.index.duplicates.groups import Groups, find
from service.index.memory import give_back
from service.store.schema import CollectionRow

# Of how many items.
Compared = Callable[[int, int], None]


class Duplicate(NamedTuple):
    """An item of a group: the nearest of those listed before it, and how far that is; the first one has neither."""

    id: str
    of: str | None
    distance: int


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
    """Reads at length."""

    def __init__(self, backend: Backend, moments: Moments) -> None:
        self._backend = backend
        self._moments = moments

    def find(self, name: str, max_distance: int, going: Callable[[], None], compared: Compared) -> Found:
        """All items of a collection that are connected within `max_distance` (inclusive).

        `going` is called again and again; what it raises ends the work. `compared` is told how many of how many items
        are done with, by what the work costs in all. Raises UnknownCollectionError, and
        InvalidInputError where the distance is too large for this collection.
        """

        def read(row: CollectionRow) -> tuple[Ids, Codes]:
            if max_distance > row.settings.bits // 2:
                raise InvalidInputError(
                    f"expected at most half of the {row.settings.bits} bits, got {max_distance}", "max_distance"
                )
            return self._moments.codes_by_id(row, going)

        ids, codes = steadily(self._backend.collection, name, read)
        found = Found(ids, find(codes, max_distance, going, lambda share: compared(int(share * len(ids)), len(ids))))
        give_back()
        return found

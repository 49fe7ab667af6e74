"""Writes to two collections while one is coded anew into the other: Milvus has no transaction over both.

What is written goes to the one that is searched, then to the other; then the first is asked what it holds of these
items. Where that is not what was written, as somebody else wrote them meanwhile, it is coded for the other again, until
the one holds what was last given to the other. However many write at once, the last write of all, to either, is
followed by such a look, so both end alike. An answer comes after the name has been looked up again: where a re-coding
began or ended meanwhile, the write is made anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.background.coding_anew import CodingAnew
from service.coding.encoding import Going
from service.milvus import schema
from service.milvus.endings import Endings
from service.milvus.filtering import among
from service.milvus.marks import Mark, Marks
from service.milvus.names import Names
from service.milvus.table import STRONG, Table
from service.store.errors import ChangedMeanwhileError, StoreBusyError
from service.store.jobs import ItemError
from service.store.schema import CollectionRow, StoredItem
from service.untold import untold

ATTEMPTS = 20
# What an item is to be: when it was written, None where there is to be none.
Wanted = Mapping[str, int | None]


@dataclass(frozen=True)
class Pair:
    """The collection that is searched, and the other that is kept up with it."""

    mark: Mark
    named: Table
    other: Table


class Pairs:
    """Safe to use from many threads."""

    def __init__(self, names: Names, marks: Marks, endings: Endings, anew: CodingAnew) -> None:
        self._names = names
        self._marks = marks
        self._endings = endings
        self._anew = anew

    def mark(self, row: CollectionRow) -> Mark | None:
        """The re-coding that a collection is under; raises ChangedMeanwhileError where it is just being ended."""
        if row.recoding is None:
            return None
        mark = self._marks.find(row.recoding)
        if mark is not None and mark.over:
            # Whoever ended it may have been killed before what is kept was back to itself.
            self._endings.settle(mark)
        elif mark is None:
            # Or before all of it was forgotten.
            self._endings.forget(row.number, row.recoding)
        if mark is None or mark.over:
            raise ChangedMeanwhileError("expected a re-coding to go on as it was, it ended meanwhile")
        return mark

    def of(self, row: CollectionRow) -> Pair | None:
        """The pair of which a collection, found by its name, is half, or None; raises as `mark` does."""
        mark = self.mark(row)
        return None if mark is None else Pair(mark, self._names.table(row), self.table(mark.other(row.number)))

    def table(self, number: int) -> Table:
        """A collection by its number, to be written; raises UnknownCollectionError."""
        return self._names.table(self._names.numbered(number))

    def require_unchanged(self, row: CollectionRow, other: int | None) -> None:
        """Raise ChangedMeanwhileError unless what was written to a collection, and to the other, is to be there now."""
        now = self._names.row(row.name)
        if now is None:
            # Deleted, after what was written.
            return
        if now.recoding != (None if other is None else row.recoding) or now.number not in (row.number, other):
            raise ChangedMeanwhileError("expected a re-coding to go on as it was, it began or ended meanwhile")

    def upsert(self, named: Table, other: Table, items: Sequence[StoredItem], also: Sequence[StoredItem]) -> None:
        """Write the same items to both, coded for each."""
        versions = schema.new_versions(len(items))
        named.upsert(schema.rows(items, named.row.settings, versions))
        other.upsert(schema.rows(also, other.row.settings, versions))
        ids = (item.id for item in items)
        self.settle(named, other, dict(zip(ids, versions, strict=True)))

    def delete(self, pair: Pair, ids: Sequence[str]) -> None:
        """Delete from both."""
        for table in (pair.named, pair.other):
            table.delete(among(ids))
        self.settle(pair.named, pair.other, dict.fromkeys(ids))

    def settle(self, named: Table, other: Table, given: Wanted) -> None:
        """Return once the one holds what was given to the other; raises StoreBusyError where others write too fast."""
        # Where several write and read at once, Milvus may give an item that is deleted, for a moment: what had to be
        # given again is looked at until it is the same twice.
        looks = 1
        for _ in range(ATTEMPTS):
            now = named.versions_of(list(given))
            differing = [each for each, version in given.items() if now.get(each) != version]
            looks -= 1
            if differing:
                again, _ = self.copy(named, other, differing)
                given, looks = {**given, **again}, 2
            elif looks <= 0:
                return
        raise StoreBusyError("expected these items to rest for a moment, others write them faster than they are coded")

    def copy(
        self, named: Table, other: Table, ids: Sequence[str], level: str = STRONG, going: Going = untold
    ) -> tuple[Wanted, list[ItemError]]:
        """Give the other what the one holds of some items: what they were, and which the other's hasher refused.

        `going` is called before each document is encoded; what it raises ends the work.
        """
        given: dict[str, int | None] = dict.fromkeys(ids)
        refused: list[ItemError] = []
        for rows in named.whole(ids, level):
            given |= {row["id"]: row["written"] for row in rows}
            refused += self._give(other, rows, going)
        gone = [each for each, version in given.items() if version is None]
        if gone:
            other.delete(among(gone))
        return given, refused

    def refused(self, named: Table, other: Table, ids: Sequence[str]) -> set[str]:
        """Those of the other's items that the hasher of the one refuses."""
        found: set[str] = set()
        for rows in other.whole(ids, STRONG):
            _, errors = self._anew.code(named.row.name, named.row, list(map(schema.stored_item, rows)))
            found |= {str(error.id) for error in errors}
        return found

    def _give(self, other: Table, rows: Sequence[Mapping[str, Any]], going: Going) -> list[ItemError]:
        """Write rows of the one to the other, coded for it; those that are refused are not to be in it."""
        coded, refused = self._anew.code(other.row.name, other.row, list(map(schema.stored_item, rows)), going)
        if coded:
            versions = [rows[place]["written"] for place in coded]
            other.upsert(schema.rows(list(coded.values()), other.row.settings, versions))
        if refused:
            other.delete(among([str(error.id) for error in refused]))
        return refused

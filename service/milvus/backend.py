"""Collections in a Milvus: nothing of them is kept in this process, so any number of services may share one."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import orjson

from service.collections.backend import Together
from service.errors import NotOfferedError, TooLargeError, TooManyCollectionsError
from service.filters import Condition
from service.index.collection import IndexState
from service.items import Part
from service.milvus import schema
from service.milvus.connection import Connection
from service.milvus.endings import Endings
from service.milvus.filtering import after, among, expression, lets_through
from service.milvus.marks import new_number
from service.milvus.names import Names
from service.milvus.nearest import Source
from service.milvus.pairs import ATTEMPTS, Pair, Pairs
from service.milvus.table import Table
from service.store.errors import ChangedMeanwhileError, StoreBusyError, unknown_collection
from service.store.pages import MOST_LOOKED_AT, Asked, Page
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem
from service.store.snapshots import Copied, Taken
from service.telemetry.stages import Stages, untimed

T = TypeVar("T")
IDS_AT_ONCE = 8192
MOST_WRITTEN_BYTES = 48 * 2**20
# Of a row, beside its id, code and payload.
ROW_BYTES = 64


@dataclass(frozen=True)
class Milvus:
    """Safe to use from many threads."""

    connection: Connection
    names: Names
    pairs: Pairs
    endings: Endings
    stages: Stages = untimed

    @property
    def most_payload_bytes(self) -> int:
        """What a JSON field of Milvus takes."""
        return schema.LONGEST_PAYLOAD

    @property
    def most_document_bytes(self) -> int:
        """What a message of Milvus's takes in base64."""
        return schema.LONGEST_DOCUMENT

    def require_reachable(self) -> None:
        """Raise StoreUnavailableError where Milvus does not answer."""
        self.connection.call("list_collections")

    def collection(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None."""
        return self.names.row(name)

    def collections(self) -> list[CollectionRow]:
        """All collections, by name."""
        return self.names.all()

    def create(self, name: str, settings: CollectionSettings, most: int | None) -> CollectionRow | None:
        """Create a collection, or return None where the name is taken; raises as `Backend` says."""
        _require_offered(settings.index)
        if self.collection(name) is not None:
            return None
        if most is not None and len(self.collections()) >= most:
            raise TooManyCollectionsError(f"expected at most {most} collections, got one more")
        settings = replace(settings, consistency=settings.consistency or "strong")
        row = CollectionRow(new_number(), name, settings)
        self.names.create(row)
        self._table(row).prepare()
        if self.names.give(row):
            return row
        # Another replica was quicker.
        self.names.drop(row.number)
        return None

    def change_index(self, row: CollectionRow, index: IndexSettings) -> None:
        """Other probes at once; another kind, or other lists, are not offered: nothing could be searched meanwhile."""
        now = row.settings.index
        _require_offered(index)
        if index.kind != now.kind or (index.kind == "ivf" and schema.lists(index) != schema.lists(now)):
            raise NotOfferedError(
                "expected the kind of index and the lists to stay as they are, as Milvus could not be searched while "
                "it builds another: create a collection with the other index, and index into that"
            )

        def change(now: CollectionRow, pair: Pair | None) -> None:
            for number in [now.number] if pair is None else [pair.mark.old, pair.mark.new]:
                self.names.note_index(number, index)

        self._on_both(row, change)

    def drop(self, row: CollectionRow) -> bool:
        """Delete a collection and all its items; False where it is gone already."""
        now = self.collection(row.name)
        if now is None or now.number != row.number:
            return False
        with suppress(ChangedMeanwhileError):
            mark = self.pairs.mark(now)
            if mark is None:
                return self.names.end(now)
            # Its items are deleted by whoever does the jobs.
            return self.endings.end(mark, "gone") is not None
        return False

    def state(self, row: CollectionRow) -> IndexState:
        """How many items it holds; nothing of it is in this process's memory."""
        index = row.settings.index
        ivf = None if index.kind == "flat" else (schema.lists(index), schema.probes(index, exact=False))
        return IndexState(self._table(row).count(), 0, 0, index, False, None, ivf)

    def beside(self, row: CollectionRow) -> CollectionRow | None:
        """The other half of the re-coding that it is under, if any; raises ChangedMeanwhileError where that ends."""
        mark = self.pairs.mark(row)
        return None if mark is None else self.names.numbered(mark.other(row.number))

    def upsert(self, row: CollectionRow, items: Sequence[StoredItem], also: Together | None) -> None:
        """Write all items or none: all have one timestamp, by which they are seen."""
        size = sum(_size(item) for item in items)
        if size > MOST_WRITTEN_BYTES:
            raise TooLargeError(f"expected items of {MOST_WRITTEN_BYTES} bytes at most in one write, got {size}")
        if not items:
            return
        if also is None:
            self._table(row).upsert(schema.rows(items, row.settings, schema.new_versions(len(items))))
        else:
            self.pairs.upsert(self._table(row), self.pairs.table(also[0]), items, also[1])
        self.pairs.require_unchanged(row, None if also is None else also[0])

    def delete(self, row: CollectionRow, ids: Sequence[str]) -> int:
        """Delete items by id; returns how many were there when it was looked."""
        wanted = list(dict.fromkeys(ids))

        def delete(now: CollectionRow, pair: Pair | None) -> int:
            there = 0
            for start in range(0, len(wanted), IDS_AT_ONCE):
                some = wanted[start : start + IDS_AT_ONCE]
                found = [found["id"] for found in self._table(now).query(among(some), ["id"])]
                there += len(found)
                # Of the other also what the first one has no more: who deleted it there may have been killed since.
                self._delete(now, pair, found if pair is None else some)
            return there

        return self._on_both(row, delete)

    def deletion(self, row: CollectionRow, condition: Condition) -> "MilvusDeletion":
        """A delete of the items that a filter lets through, block by block."""
        return MilvusDeletion(self, row, condition)

    def delete_blocks(self, row: CollectionRow, condition: Condition) -> Iterator[int]:
        """Delete the items that a filter lets through in blocks, each in a write of its own; gives how many in each.

        Done again until no re-coding began or ended meanwhile.
        """
        for _ in range(ATTEMPTS):
            now = self._named(row)
            with suppress(ChangedMeanwhileError):
                pair = self.pairs.of(now)
                for found in _matching(self._table(now), condition):
                    self._delete(now, pair, found)
                    yield len(found)
                if pair is not None:
                    # What the hasher of the one that is searched refuses is in the other alone.
                    for found in _matching(pair.other, condition):
                        self._delete(now, pair, found)
                        yield 0
                self.pairs.require_unchanged(now, None if pair is None else pair.other.row.number)
                return
        raise _recoded_too_fast()

    def item(self, row: CollectionRow, item_id: str, carried: Collection[Part] = ()) -> StoredItem | None:
        """The item of that id, with what is kept of it where it is to carry that, or None."""
        fields = _fields("features" in carried, "document" in carried)
        found = self._table(row).query(among([item_id]), fields)
        return schema.stored_item(found[0]) if found else None

    def page(self, row: CollectionRow, asked: Asked) -> Page:
        """Items in the order of their ids."""
        page = self._page(row, asked)
        if not asked.with_documents:
            return page
        # Documents are long: they are read a few at a time, of those items that are still there as they were.
        rows = self._table(row).told([item.id for item in page.items])
        there = {item.id: item for item in map(schema.stored_item, rows) if _lets_through(asked, item)}
        return Page([there[item.id] for item in page.items if item.id in there], page.last)

    def _page(self, row: CollectionRow, asked: Asked) -> Page:
        table, fields = self._table(row), _fields(asked.with_features)
        if asked.filter is None:
            found = table.query(after(asked.after), fields, asked.limit + 1)
            found.sort(key=lambda each: str(each["id"]))
            items = [schema.stored_item(each) for each in found[: asked.limit]]
            return Page(items, items[-1].id if len(found) > asked.limit else None)
        items, looked_at, last = [], 0, asked.after
        for block in table.by_id(expression(asked.filter), fields, asked.after):
            for each in block:
                if len(items) == asked.limit or looked_at >= max(asked.limit, MOST_LOOKED_AT):
                    return Page(items, last)
                looked_at, last = looked_at + 1, each["id"]
                if lets_through(asked.filter, each["payload"]):
                    items.append(schema.stored_item(each))
        return Page(items, None)

    def look(self, name: str) -> Source | None:
        """The collection of that name, to be searched, or None."""
        row = self.collection(name)
        return None if row is None else Source(self._table(row), self.stages)

    def follow(self) -> None:
        """Nothing is in memory."""

    def take_snapshot(self, name: str, folder: Path, copied: Copied) -> Taken:
        """Not offered: Milvus has backups of its own."""
        raise _no_snapshots()

    def require_snapshots(self) -> None:
        """They are not offered."""
        raise _no_snapshots()

    def _on_both(self, row: CollectionRow, do: Callable[[CollectionRow, "Pair | None"], T]) -> T:
        """What `do` returns the first time; it is done again until no re-coding began or ended meanwhile."""
        results = []
        for _ in range(ATTEMPTS):
            now = self._named(row)
            with suppress(ChangedMeanwhileError):
                pair = self.pairs.of(now)
                results.append(do(now, pair))
                self.pairs.require_unchanged(now, None if pair is None else pair.other.row.number)
                return results[0]
        raise _recoded_too_fast()

    def _named(self, row: CollectionRow) -> CollectionRow:
        now = self.collection(row.name)
        if now is None or (now.number != row.number and now.recoding is None):
            # Also where it was re-coded meanwhile: who has called finds that out.
            raise unknown_collection(row.name)
        return now

    def _delete(self, row: CollectionRow, pair: Pair | None, ids: Sequence[str]) -> None:
        if ids and pair is None:
            self._table(row).delete(among(ids))
        elif ids and pair is not None:
            self.pairs.delete(pair, ids)

    def _table(self, row: CollectionRow) -> Table:
        return self.names.table(row)


class MilvusDeletion:
    """A delete by a filter: a step looks at one block and deletes what the filter lets through of it."""

    def __init__(self, backend: Milvus, row: CollectionRow, condition: Condition) -> None:
        self._blocks = backend.delete_blocks(row, condition)
        self.found = 0

    def step(self) -> bool:
        """Delete of a block; returns whether that was the last one."""
        deleted = next(self._blocks, None)
        self.found += deleted or 0
        return deleted is None

    def finish(self, job: int = 0) -> int:
        """How many were deleted."""
        return self.found


def _recoded_too_fast() -> StoreBusyError:
    return StoreBusyError("expected the collection to rest for a moment, its re-codings begin and end too fast")


def _matching(table: Table, condition: Condition) -> Iterator[list[str]]:
    """The ids of the items that a filter lets through, in blocks."""
    for block in table.by_id(expression(condition), ["id", "payload"]):
        yield [each["id"] for each in block if lets_through(condition, each["payload"])]


def _fields(features: bool, document: bool = False) -> list[str]:
    return ["id", "code", "payload", *(["features"] if features else []), *(["document"] if document else [])]


def _size(item: StoredItem) -> int:
    """About as many bytes as it takes in a message to Milvus, what is kept of it in base64."""
    kept = len(item.features or b"") + len(item.document or b"")
    return len(item.id) + len(item.code) + len(item.payload or b"") + kept * 4 // 3 + ROW_BYTES


def _lets_through(asked: Asked, item: StoredItem) -> bool:
    return asked.filter is None or lets_through(asked.filter, orjson.loads(item.payload or b"{}"))


def _require_offered(index: IndexSettings) -> None:
    if index.kind == "auto":
        raise NotOfferedError(
            "expected kind flat or ivf, got auto: Milvus could not be searched while it builds another index, so a "
            "collection keeps the kind that it is created with"
        )


def _no_snapshots() -> NotOfferedError:
    return NotOfferedError("expected a store in this machine, as a snapshot is a file of it: Milvus is backed up")

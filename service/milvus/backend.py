"""Collections in a Milvus: nothing of them is kept in this process, so any number of services may share one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import InvalidInputError
from service.backend import Together
from service.errors import NotOfferedError, TooLargeError, TooManyCollectionsError
from service.filters import Condition
from service.index.collection import IndexState
from service.items import Part
from service.milvus import schema
from service.milvus.connection import Connection
from service.milvus.filtering import after, among, expression, lets_through
from service.milvus.nearest import Source
from service.milvus.table import Table
from service.stages import Stages, untimed
from service.store.errors import UnknownCollectionError
from service.store.pages import MOST_LOOKED_AT, Asked, Page
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem
from service.store.snapshots import Copied, Taken
from service.store.writer import Deleted

IDS_AT_ONCE = 8192
MOST_WRITTEN_BYTES = 48 * 2**20
# Of a row, beside its id, code and payload.
ROW_BYTES = 64


@dataclass(frozen=True)
class Milvus:
    """Safe to use from many threads."""

    connection: Connection
    stages: Stages = untimed

    @property
    def most_payload_bytes(self) -> int:
        """What a JSON field of Milvus takes."""
        return schema.LONGEST_PAYLOAD

    def require_reachable(self) -> None:
        """Raise StoreUnavailableError where Milvus does not answer."""
        self.connection.call("list_collections")

    def collection(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None."""
        try:
            described = self.connection.call("describe_collection", schema.milvus_name(name))
        except UnknownCollectionError:
            return None
        found = schema.collection_row(described)
        # `a-b` and `aHb` would be one, if the latter could be a name.
        return found if found is not None and found.name == name else None

    def collections(self) -> list[CollectionRow]:
        """All collections, by name."""
        names = [each for each in self.connection.call("list_collections") if each.startswith(schema.PREFIX)]
        found = [self.collection(each.removeprefix(schema.PREFIX).replace("H", "-")) for each in names]
        return sorted((row for row in found if row is not None), key=lambda row: row.name)

    def create(self, name: str, settings: CollectionSettings, most: int | None) -> CollectionRow | None:
        """Create a collection, or return None where the name is taken; raises as `Backend` says."""
        if settings.keep_documents:
            raise InvalidInputError(
                "expected false, as this store keeps no documents, whose only use is re-coding", "keep_documents"
            )
        if self.collection(name) is not None:
            return None
        if most is not None and len(self.collections()) >= most:
            raise TooManyCollectionsError(f"expected at most {most} collections, got one more")
        settings = replace(settings, consistency=settings.consistency or "strong")
        self.connection.call(
            "create_collection",
            schema.milvus_name(name),
            schema=schema.fields(settings),
            num_shards=1,
            properties=schema.properties(name, settings),
        )
        made = self.collection(name)
        if made is None or made.settings != settings:
            # Another replica was quicker.
            return None
        Table(self.connection, made).prepare()
        return made

    def change_index(self, row: CollectionRow, index: IndexSettings) -> None:
        """Other probes at once; another kind, or other lists, are not offered: nothing could be searched meanwhile."""
        now = row.settings.index
        if index.kind != now.kind or (index.kind == "ivf" and schema.lists(index) != schema.lists(now)):
            raise NotOfferedError(
                "expected the kind of index and the lists to stay as they are, as Milvus could not be searched while "
                "it builds another: create a collection with the other index, and index into that"
            )
        self.connection.call(
            "alter_collection_properties", schema.milvus_name(row.name), schema.index_properties(index)
        )

    def drop(self, row: CollectionRow) -> bool:
        """Delete a collection and all its items; False where it is gone already."""
        now = self.collection(row.name)
        if now is None or now.number != row.number:
            return False
        self.connection.call("drop_collection", schema.milvus_name(row.name))
        return True

    def state(self, row: CollectionRow) -> IndexState:
        """How many items it holds; nothing of it is in this process's memory."""
        index = row.settings.index
        ivf = None if index.kind == "flat" else (schema.lists(index), schema.probes(index, exact=False))
        return IndexState(self._table(row).count(), 0, 0, index, False, None, ivf)

    def beside(self, row: CollectionRow) -> CollectionRow | None:
        """None: there is no re-coding."""
        return None

    def upsert(self, row: CollectionRow, items: Sequence[StoredItem], also: Together | None) -> None:
        """Write all items or none: all have one timestamp, by which they are seen."""
        size = sum(len(item.id) + len(item.code) + len(item.payload or b"") + ROW_BYTES for item in items)
        if size > MOST_WRITTEN_BYTES:
            raise TooLargeError(f"expected items of {MOST_WRITTEN_BYTES} bytes at most in one write, got {size}")
        if items:
            self._table(row).upsert(schema.rows(items, row.settings.keep_features != "none"))

    def delete(self, row: CollectionRow, ids: Sequence[str]) -> int:
        """Delete items by id; returns how many were there when it was looked."""
        table, there = self._table(row), 0
        for start in range(0, len(ids), IDS_AT_ONCE):
            wanted = list(dict.fromkeys(ids[start : start + IDS_AT_ONCE]))
            found = [found["id"] for found in table.query(among(wanted), ["id"])]
            if found:
                table.delete(among(found))
            there += len(found)
        return there

    def delete_matching(self, row: CollectionRow, condition: Condition, deleted: Deleted) -> int:
        """Delete the items that a filter lets through, in several writes; returns how many there were."""
        table, there = self._table(row), 0
        for block in table.by_id(expression(condition), ["id", "payload"]):
            found = [each["id"] for each in block if lets_through(condition, each["payload"])]
            if found:
                table.delete(among(found))
            there += len(found)
            deleted(there)
        return there

    def item(self, row: CollectionRow, item_id: str, carried: Collection[Part] = ()) -> StoredItem | None:
        """The item of that id, with the features kept of it where it is to carry them, or None."""
        found = self._table(row).query(among([item_id]), _fields("features" in carried))
        return schema.stored_item(found[0]) if found else None

    def page(self, row: CollectionRow, asked: Asked) -> Page:
        """Items in the order of their ids."""
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

    def _table(self, row: CollectionRow) -> Table:
        return Table(self.connection, row)


def _fields(whole: bool) -> list[str]:
    return ["id", "code", "payload", *(["features"] if whole else [])]


def _no_snapshots() -> NotOfferedError:
    return NotOfferedError("expected a store in this machine, as a snapshot is a file of it: Milvus is backed up")

"""Collections by name and by number: the name is an alias in Milvus, of the Milvus collection that has the items."""

from contextlib import suppress
from time import sleep

from models.versions import NAME
from service.errors import StoreUnavailableError
from service.milvus import schema
from service.milvus.connection import Connection
from service.milvus.table import Table
from service.store.errors import UnknownCollectionError
from service.store.schema import CollectionRow, IndexSettings, require_storable

ATTEMPTS, LET_GO_SECONDS = 5, 0.2


class Names:
    """Safe to use from many threads; nothing is remembered: other replicas change it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def row(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None, also of what is no name: Milvus refuses to look for it."""
        if not NAME.fullmatch(name):
            return None
        found = self._described(schema.alias(name))
        return found if found is not None and found.name == name else None

    def numbered(self, number: int) -> CollectionRow:
        """The collection of that number, named or not; raises UnknownCollectionError."""
        row = self._described(schema.items_name(number))
        if row is None:
            raise UnknownCollectionError("expected a collection that is there, got one that was deleted meanwhile")
        return row

    def table(self, row: CollectionRow) -> Table:
        """The same, to be read and written."""
        return Table(self._connection, row)

    def all(self) -> list[CollectionRow]:
        """All that have a name, by name."""
        made = [each for each in self._connection.call("list_collections") if each.startswith(schema.ITEMS)]
        # Of two that are written together both know the name.
        names = {row.name for row in map(self._described, made) if row is not None}
        return [row for row in map(self.row, sorted(names)) if row is not None]

    def create(self, row: CollectionRow) -> None:
        """Make one that has no name yet; raises InvalidInputError for settings that would not be read back the same."""
        require_storable(row.settings)
        self._connection.call(
            "create_collection",
            schema.items_name(row.number),
            schema=schema.fields(row.settings),
            num_shards=1,
            properties=schema.properties(row),
        )

    def give(self, row: CollectionRow) -> bool:
        """Give it its name; False where another one has that: of several that would have it one gets it."""
        alias = schema.alias(row.name)
        for attempt in range(ATTEMPTS):
            try:
                self._connection.call("create_alias", schema.items_name(row.number), alias)
            except StoreUnavailableError:
                there = self.row(row.name)
                if there is not None:
                    return there.number == row.number
                if attempt == ATTEMPTS - 1:
                    raise
                # The one that had it is just deleted; or who deleted it was killed before that let go of it.
                sleep(LET_GO_SECONDS)
                if attempt == ATTEMPTS - 2:
                    self._let_go(alias)
            else:
                return True
        raise AssertionError("returned or raised in the last attempt")

    def pass_on(self, name: str, number: int) -> None:
        """Give a name that is there to another one: at no moment is there none of that name, or two."""
        self._connection.call("alter_alias", schema.items_name(number), schema.alias(name))

    def take(self, name: str) -> None:
        """Let nothing have that name."""
        self._connection.call("drop_alias", schema.alias(name))

    def end(self, row: CollectionRow) -> bool:
        """Let nothing have its name, and delete its items; False where somebody else did.

        So a name that another one was given meanwhile is not taken from that.
        """
        if not self._connection.rename(schema.items_name(row.number), schema.gone_name(row.number)):
            return False
        self.clear(schema.gone_name(row.number))
        return True

    def clear(self, milvus_name: str) -> None:
        """Delete a Milvus collection and what leads to it; nothing where it is gone."""
        with suppress(UnknownCollectionError):
            self._let_go(milvus_name)
            self._connection.call("drop_collection", milvus_name)

    def drop(self, number: int) -> None:
        """Delete the items of what has no name, or has none any more; nothing where they are gone."""
        with suppress(UnknownCollectionError):
            self._connection.call("drop_collection", schema.items_name(number))

    def note_recoding(self, number: int, recoding: int | None) -> None:
        """Have whoever looks it up know of a re-coding that it is part of, or of none."""
        properties = schema.recoding_property(recoding)
        self._connection.call("alter_collection_properties", schema.items_name(number), properties)

    def note_index(self, number: int, index: IndexSettings) -> None:
        """Have it searched in another way."""
        properties = schema.index_properties(index)
        self._connection.call("alter_collection_properties", schema.items_name(number), properties)

    def _let_go(self, milvus_name: str) -> None:
        """Have no name lead to it, where it is one that is deleted."""
        with suppress(UnknownCollectionError):
            described = self._connection.call("describe_collection", milvus_name)
            if described["collection_name"].startswith(schema.GONE):
                for alias in described["aliases"]:
                    self._connection.call("drop_alias", alias)

    def _described(self, milvus_name: str) -> CollectionRow | None:
        with suppress(UnknownCollectionError):
            return schema.collection_row(self._connection.call("describe_collection", milvus_name))
        return None

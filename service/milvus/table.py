"""One collection in Milvus, read and searched as its settings say; also the one that Milvus does not hold yet."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, TypeVar

from pymilvus.client.types import LoadState

from service.milvus import schema
from service.milvus.connection import Connection, NotLoadedError
from service.milvus.filtering import after, among, both
from service.store import lookups
from service.store.errors import UnknownCollectionError
from service.store.schema import CollectionRow

T = TypeVar("T")
LEVELS = {"strong": "Strong", "session": "Session", "bounded": "Bounded", "eventually": "Eventually"}
PAGE_ROWS = 4096
LOOK_SECONDS = 0.05
# So many of the longest are less than the 64 MB that Milvus takes at once.
WITH_DOCUMENTS, WITH_FEATURES = 32, 500
STRONG, AT_ONCE = LEVELS["strong"], LEVELS["eventually"]
Versions = dict[str, int]


@dataclass(frozen=True)
class Table:
    """A collection by its row; every call raises UnknownCollectionError, or StoreUnavailableError."""

    connection: Connection
    row: CollectionRow

    @property
    def name(self) -> str:
        """As Milvus knows it."""
        return schema.items_name(self.row.number)

    @property
    def level(self) -> str:
        """Its consistency."""
        return LEVELS[self.row.settings.consistency or "strong"]

    def query(
        self, expression: str, fields: list[str], limit: int | None = None, level: str | None = None
    ) -> list[dict[str, Any]]:
        """Rows in no order, but the first `limit` by id where there is one; `level` in place of its consistency."""
        bound = {} if limit is None else {"limit": limit}
        wanted = {"filter": expression, "output_fields": fields, "consistency_level": level or self.level}
        return self._loaded(lambda: self.connection.call("query", self.name, **wanted, **bound))

    def count(self, expression: str = "", level: str | None = None) -> int:
        """How many items there are, or that an expression lets through."""
        return int(self.query(expression, ["count(*)"], level=level)[0]["count(*)"])

    def whole(self, ids: Sequence[str], level: str | None = None) -> Iterator[list[dict[str, Any]]]:
        """Rows by id, with all that is kept of them, so many at a time as Milvus takes in one message."""
        settings = self.row.settings
        step = WITH_DOCUMENTS if settings.keep_documents else WITH_FEATURES
        for start in range(0, len(ids), step):
            yield self.query(among(ids[start : start + step]), schema.every_field(settings), level=level)

    def told(self, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The same, of what is to be told with its documents; raises InvalidInputError where these are too large."""
        size = 0
        for rows in self.whole(ids):
            size += sum(len(schema.stored_item(row).document or b"") for row in rows)
            if size > lookups.MOST_DOCUMENT_BYTES:
                raise lookups.too_large(f"{size} or more")
            yield from rows

    def versions(self, expression: str, limit: int | None = None, level: str = STRONG) -> Versions:
        """When each item was written, by id, over all that was acknowledged; of `limit` items those first by id."""
        found = self.query(expression, ["id", "written"], limit, level)
        return {each["id"]: each["written"] for each in found}

    def versions_of(self, ids: Sequence[str]) -> Versions:
        """When each of these items was written, by id, over all that was acknowledged."""
        found: Versions = {}
        for start in range(0, len(ids), PAGE_ROWS):
            found |= self.versions(among(ids[start : start + PAGE_ROWS]))
        return found

    def lacking(self, ids: Sequence[str]) -> list[str]:
        """Those of these ids that no item has."""
        there = self.versions_of(ids)
        return [each for each in ids if each not in there]

    def by_id(self, expression: str, fields: list[str], start: str = "") -> Iterator[list[dict[str, Any]]]:
        """All rows in the order of their ids that come after `start`, in blocks."""
        while block := self.query(both(expression, after(start)), fields, PAGE_ROWS):
            block.sort(key=lambda found: str(found["id"]))
            yield block
            if len(block) < PAGE_ROWS:
                return
            start = block[-1]["id"]

    def search(
        self, codes: list[bytes], most: int, expression: str, fields: list[str], exact: bool
    ) -> list[list[dict[str, Any]]]:
        """The `most` nearest of each code; ties with the last are cut anyhow."""
        index = self.row.settings.index
        parameters = {} if index.kind == "flat" else {"nprobe": schema.probes(index, exact)}
        return self._loaded(
            lambda: self.connection.call(
                "search",
                self.name,
                data=codes,
                anns_field="code",
                limit=most,
                filter=expression,
                output_fields=fields,
                search_params={"metric_type": "HAMMING", "params": parameters},
                consistency_level=self.level,
            )
        )

    def upsert(self, rows: list[dict[str, Any]]) -> None:
        """Write rows, in one message."""
        self.connection.call("upsert", self.name, rows)

    def delete(self, expression: str) -> None:
        """Delete the rows of an expression that names ids."""
        self.connection.call("delete", self.name, filter=expression)

    def prepare(self) -> None:
        """Have it indexed and held in memory; nothing changes where it is."""
        self.connection.call("create_index", self.name, schema.index_parameters(self.row.settings.index), sync=False)
        # Its own way of waiting looks twice a second.
        self.connection.call("load_collection", self.name, _async=True)
        deadline = monotonic() + self.connection.seconds
        while (state := self.connection.call("get_load_state", self.name)["state"]) != LoadState.Loaded:
            if state == LoadState.NotExist:
                raise UnknownCollectionError("expected a collection that is there, got one that was deleted meanwhile")
            if monotonic() > deadline:
                raise NotLoadedError(f"expected the collection to be in Milvus's memory, it is {state.name}")
            sleep(LOOK_SECONDS)

    def _loaded(self, call: Callable[[], T]) -> T:
        with suppress(NotLoadedError):
            return call()
        # Who made it was killed before it was held, or Milvus was, and begins anew.
        self.prepare()
        return call()

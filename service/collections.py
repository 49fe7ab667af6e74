"""Collections: named sets of items, coded by one hasher version, or bringing their own codes of one length."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from models.codes import Codes
from models.errors import InvalidInputError
from models.hasher import Hasher
from service.coding import encode
from service.errors import (
    ConflictError,
    Fault,
    FaultsError,
    MissingHasherError,
    UnknownHasherError,
    UnknownItemError,
)
from service.hashers import Hashers
from service.index.flat import Snapshot
from service.index.follower import Follower
from service.items import Item, Match, Query
from service.ranking import rank
from service.store.reader import Reader
from service.store.schema import CollectionRow, StoredItem, UnknownCollectionError
from service.store.writer import Writer

LONGEST_CODE_BITS = 4096


@dataclass(frozen=True)
class Description:
    """A collection as callers see it; `hasher` is `name@version`, or None where items bring their own codes."""

    name: str
    bits: int
    hasher: str | None
    count: int


@dataclass(frozen=True)
class Answer:
    """What a search found, a list for each query, and the bits and hasher (None: own codes) of the collection."""

    bits: int
    hasher: str | None
    results: list[list[Match]]


class Collections:
    """Encodes what comes in, writes it to the store, and answers from the index; safe to use from many threads."""

    def __init__(self, writer: Writer, reader: Reader, follower: Follower, hashers: Hashers) -> None:
        self._writer = writer
        self._reader = reader
        self._follower = follower
        self._hashers = hashers

    def create(self, name: str, hasher: str | None, bits: int | None) -> tuple[Description, bool]:
        """Create a collection, bound to the hasher version meant now; also says whether it is new.

        Creating what is there again, with the same settings, changes nothing; other settings raise ConflictError.
        A hasher named without a version agrees with any version of it.
        """
        row = self._reader.collection(name)
        if row is None:
            if hasher is not None:
                loaded = self._hashers.get(hasher)
                hasher, bits = loaded.reference, loaded.bits
            elif bits is None or bits % 8 or not 8 <= bits <= LONGEST_CODE_BITS:
                raise InvalidInputError(f"expected bits as a multiple of 8 up to {LONGEST_CODE_BITS}, got {bits}")
            created = self._writer.create_collection(name, bits, hasher)
            if created is not None:
                return self._describe(created), True
            row = self._row(name)
        if hasher is None:
            agrees = row.hasher is None and row.bits == bits
        else:
            agrees = row.hasher is not None and hasher in (row.hasher, row.hasher.partition("@")[0])
        if not agrees:
            raise ConflictError(f"expected the settings of {name!r}, which is there already with {_settings(row)}")
        return self._describe(row), False

    def all(self) -> list[Description]:
        """All collections, by name."""
        return [self._describe(row) for row in self._reader.collections()]

    def get(self, name: str) -> Description:
        """One collection; raises UnknownCollectionError."""
        return self._describe(self._row(name))

    def delete(self, name: str) -> None:
        """Delete a collection with all its items; raises UnknownCollectionError."""
        self._writer.delete_collection(self._row(name).number)

    def upsert(self, name: str, items: Sequence[Item]) -> None:
        """Index all items or none, on disk when this returns; raises FaultsError that names the bad ones."""
        row = self._row(name)
        codes, bad = encode([(item.kind, item.document) for item in items], row.bits, self._hasher(row), "items")
        faults = [*_repeated(items), *bad.values()]
        if faults:
            raise FaultsError("nothing was indexed", faults)
        self._writer.upsert(row.number, [_stored(item, code) for item, code in zip(items, codes, strict=True) if code])

    def upsert_usable(self, name: str, items: Sequence[Item]) -> dict[int, Fault]:
        """Index the items that can be used, on disk when this returns; says what is wrong with the others, by place.

        Of several with one id the last counts.
        """
        row = self._row(name)
        codes, faults = encode([(item.kind, item.document) for item in items], row.bits, self._hasher(row), "items")
        usable = {item.id: _stored(item, code) for item, code in zip(items, codes, strict=True) if code}
        self._writer.upsert(row.number, list(usable.values()))
        return faults

    def item(self, name: str, item_id: str) -> StoredItem:
        """One item; raises UnknownItemError."""
        return self._item(self._row(name), item_id)

    def delete_items(self, name: str, ids: Sequence[str]) -> int:
        """Delete items by id; returns how many were there."""
        return self._writer.delete(self._row(name).number, ids)

    def search(self, name: str, queries: Sequence[Query], limit: int, max_distance: int | None) -> Answer:
        """The nearest items for each query, at most `limit`, within `max_distance` (inclusive), by (distance, id).

        A query by id does not find the item itself.
        """
        row = self._row(name)
        results = []
        for query, code in zip(queries, self._query_codes(row, queries), strict=True):
            itself = str(query.document) if query.kind == "id" else None
            farthest = row.bits if max_distance is None else max_distance
            results.append(rank(partial(self._snapshot, row), self._reader, row.number, code, limit, farthest, itself))
        return Answer(row.bits, row.hasher, results)

    def _query_codes(self, row: CollectionRow, queries: Sequence[Query]) -> list[Codes]:
        """One code (bits / 8,) a query; raises UnknownItemError, or FaultsError that names the bad ones."""
        documents = [
            (query.kind, query.document)
            if query.kind != "id"
            else ("code", self._item(row, str(query.document)).code.hex())
            for query in queries
        ]
        codes, faults = encode(documents, row.bits, self._hasher(row), "queries")
        if faults:
            raise FaultsError("nothing was searched", list(faults.values()))
        return [np.frombuffer(code, np.uint8) for code in codes if code]

    def _item(self, row: CollectionRow, item_id: str) -> StoredItem:
        item = self._reader.item(row.number, item_id)
        if item is None:
            raise UnknownItemError(f"expected the id of an item of {row.name!r}, got {item_id[:80]!r}")
        return item

    def _row(self, name: str) -> CollectionRow:
        row = self._reader.collection(name)
        if row is None:
            raise UnknownCollectionError(f"expected the name of a collection that is there, got {name[:80]!r}")
        return row

    def _describe(self, row: CollectionRow) -> Description:
        return Description(row.name, row.bits, row.hasher, self._snapshot(row).live)

    def _snapshot(self, row: CollectionRow) -> Snapshot:
        return self._follower.snapshot(row.number, row.bits)

    def _hasher(self, row: CollectionRow) -> Callable[[], Hasher] | None:
        reference = row.hasher
        if reference is None:
            return None

        def load() -> Hasher:
            try:
                return self._hashers.get(reference)
            except UnknownHasherError as error:
                # Not the caller's mistake: the collection is bound to it, and its folder is gone.
                raise MissingHasherError(f"collection {row.name!r} needs hasher {reference}: {error}") from None

        return load


def _repeated(items: Sequence[Item]) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, item in enumerate(items):
        if item.id in seen:
            detail = f"expected each id once in a request, got {item.id[:80]!r} again"
            yield Fault(f"items/{place}/id", 422, "Duplicate id", detail)
        seen.add(item.id)


def _stored(item: Item, code: bytes) -> StoredItem:
    return StoredItem(item.id, code, item.payload)


def _settings(row: CollectionRow) -> str:
    return f"{row.bits} bits and " + (f"hasher {row.hasher}" if row.hasher else "no hasher")

"""From the database's rows to what they mean, each verified by its checksum on the way."""

from collections.abc import Sequence
from typing import Any

from service.store.checksums import (
    collection_checksum,
    item_checksum,
    item_checksums,
    kept_checksum,
    require,
)
from service.store.errors import DamagedStoreError
from service.store.kinds import index_settings
from service.store.schema import CollectionRow, CollectionSettings, StoredItem

COLLECTION_COLUMNS = "number, name, bits, hasher, index_kind, lists, probes, keep_features, keep_documents, checksum"
# Of a collection without a name.
HIDDEN = ""
ITEM_COLUMNS = "sequence, collection, CAST(items.id AS BLOB), code, payload, checksum"


def collection_row(row: Sequence[Any]) -> CollectionRow:
    """A collection, from COLLECTION_COLUMNS; raises DamagedStoreError."""
    number, name, bits, hasher, kind, lists, probes, keep_features, keep_documents, checksum = row
    index = index_settings(kind, lists, probes)
    settings = CollectionSettings(bits, hasher, index, keep_features, bool(keep_documents))
    found = CollectionRow(number, name or HIDDEN, settings)
    require(collection_checksum(number, found.name, settings) == checksum, f"collection {name!r}")
    return found


def stored_item(row: Sequence[Any]) -> tuple[int, int, StoredItem]:
    """Sequence number, collection and item, from ITEM_COLUMNS; raises DamagedStoreError."""
    sequence, collection, item_id, code, payload, checksum = row
    try:
        fits = item_checksum(sequence, collection, item_id, code, payload) == checksum
    except TypeError:
        # Damage can make a number of what was text.
        fits = False
    if not fits:
        raise _damaged(row)
    return sequence, collection, StoredItem(item_id.decode(), code, payload)


def verify_items(columns: Sequence[Sequence[Any]]) -> None:
    """Verify items by ITEM_COLUMNS, each a sequence; raises DamagedStoreError that names the first that is damaged."""
    *given, checksums = columns
    try:
        fit = item_checksums(*given) == list(checksums)
    except TypeError:
        fit = False
    if not fit:
        for row in zip(*columns, strict=True):
            stored_item(row)


def _damaged(row: Sequence[Any]) -> DamagedStoreError:
    return DamagedStoreError(f"expected item {row[2]!r} as it was written, found another checksum: it is damaged")


def verified_features(row: Sequence[Any]) -> tuple[int, bytes]:
    """Sequence number and features; raises DamagedStoreError."""
    return _verified_kept(row, "the features of item", "features of item {} as they were written")


def verified_document(row: Sequence[Any]) -> tuple[int, bytes]:
    """Sequence number and document; raises DamagedStoreError."""
    return _verified_kept(row, "the document of item", "the document of item {} as it was written")


def _verified_kept(row: Sequence[Any], what: str, expected: str) -> tuple[int, bytes]:
    sequence, kept, checksum = row
    if not isinstance(kept, bytes):
        raise DamagedStoreError(f"expected {expected.format(sequence)}, the database is damaged")
    require(kept_checksum(sequence, kept) == checksum, f"{what} {sequence}")
    return sequence, kept

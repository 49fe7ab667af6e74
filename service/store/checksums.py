"""A CRC-32 for every row, so that a damaged one is known when it is read: SQLite itself checks only its WAL.

CRC-32 (ISO 3309) finds every change of up to 32 bits in a row.
"""

from zlib import crc32

from service.store.errors import DamagedStoreError
from service.store.schema import CollectionSettings

# The largest prime below 2 ** 32: numbers that differ in a single byte differ after it, too.
PRIME = 4294967291


def item_checksum(sequence: int, collection: int, item_id: bytes, code: bytes, payload: bytes | None) -> int:
    """Of an item's row; the numbers it is found by are in it, so that it is not taken for another."""
    start = (sequence * 31 + collection) % PRIME
    return crc32(payload or b"", crc32(item_id, crc32(code, start)))


def features_checksum(sequence: int, features: bytes) -> int:
    """Of the row with an item's features."""
    return crc32(features, sequence % PRIME)


def collection_checksum(number: int, name: str, settings: CollectionSettings) -> int:
    """Of a collection's row."""
    return crc32(f"{number} {name} {settings}".encode())


def require(fits: bool, what: str) -> None:
    """Raise DamagedStoreError unless the checksum fits."""
    if not fits:
        raise DamagedStoreError(f"expected {what} as it was written, found another checksum: the database is damaged")

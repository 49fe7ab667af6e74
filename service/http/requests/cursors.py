"""Cursors: where a page ended, as text to hand back, with a CRC-32 that tells one that is damaged or of elsewhere.

An id is all that is in it: the order of ids does not change, so a cursor holds for ever, whatever is written.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from zlib import crc32

from models.errors import InvalidInputError

CHECKSUM_BYTES = 4
LONGEST_ECHO = 80


def write_cursor(collection: str, item_id: str) -> str:
    """The cursor of the page after an item of a collection."""
    content = item_id.encode()
    return urlsafe_b64encode(_checksum(collection, content) + content).decode().rstrip("=")


def read_cursor(collection: str, cursor: str) -> str:
    """The id that a cursor of this collection goes on after; raises InvalidInputError."""
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        item_id = packed[CHECKSUM_BYTES:].decode()
        # Decoding passes over what is no base64: what came has to be what is written.
        if item_id and write_cursor(collection, item_id) == cursor:
            return item_id
    except (binascii.Error, ValueError):
        pass
    shown = cursor if len(cursor) <= LONGEST_ECHO else cursor[:LONGEST_ECHO] + "..."
    raise InvalidInputError(f"expected one that a page of {collection[:80]!r} gave, got {shown!r}", "cursor")


def _checksum(collection: str, content: bytes) -> bytes:
    return crc32(content, crc32(collection.encode())).to_bytes(CHECKSUM_BYTES, "little")

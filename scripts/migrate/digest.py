"""What an item is, in bytes, and a checksum of many: the same for the same items, whichever store keeps them."""

import hashlib
import json

from service.client import Item


def canonical(item: Item) -> bytes:
    """An item's id, code and payload as a JSON array in ASCII, all keys sorted: 1, 1.0 and true differ.

    Then its features and its document, each where it was asked for.
    """
    kept = [part for part in (item.features, item.document) if part is not None]
    return json.dumps([item.id, item.code, item.payload, *kept], sort_keys=True, separators=(",", ":")).encode()


class Digest:
    """SHA-256 over items, a line each, in the order of their ids; `count` of them went into it."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def add(self, item: Item) -> None:
        """Take in the next item."""
        self._hash.update(canonical(item) + b"\n")
        self.count += 1

    @property
    def hex(self) -> str:
        """In hex, of all items so far."""
        return self._hash.hexdigest()

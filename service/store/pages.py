"""Pages of a collection's items in the order of their ids, which no write changes: an upsert keeps an item's place.

By sequence number an item that is written anew would come twice. A page costs what it holds, however many items there
are; with a filter it looks at no more than so many, nor for longer than a moment, and then comes short, with where it
stopped. So it does where the payloads become too large together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from sqlite3 import Connection, Cursor
from time import monotonic

import numpy as np

from service.filters import Condition
from service.store import lookups
from service.store.deletions import NOTHING, Sequences, among
from service.store.errors import DamagedStoreError
from service.store.filtering import compile_filter
from service.store.schema import StoredItem

MOST_LOOKED_AT = 10_000
# How long a filter is evaluated for one page; one item at least is looked at.
MOST_SECONDS = 0.1
FIRST = ""
BLOCK_ROWS = 64


@dataclass(frozen=True)
class Asked:
    """At most `limit` items whose ids come after `after` (FIRST for the start) and that a filter lets through."""

    limit: int
    after: str = FIRST
    filter: "Condition | None" = None
    with_features: bool = False
    with_documents: bool = False


@dataclass(frozen=True)
class Page:
    """Items in the order of their ids (by code point); `last`, the id to go on after, is None at the end."""

    items: list[StoredItem]
    last: str | None


def read_page(connection: Connection, collection: int, asked: Asked, hidden: Sequences = NOTHING) -> Page:
    """A page, within a transaction; items are verified. It may hold fewer than `limit` before the end.

    `hidden` are the sequence numbers (n,), ascending, of items that are deleted although their rows are there.
    """
    ids, last = _walk(connection, collection, asked, hidden)
    found = lookups.verified_items(lookups.item_rows(connection, ids))
    if {sequence: item.id.encode() for sequence, item in found.items()} != ids:
        raise DamagedStoreError("expected the items of a page by their ids, found others: the database is damaged")
    items = [found[sequence] for sequence in ids]
    if asked.with_features:
        kept = lookups.features(connection, ids)
        items = [found[sequence]._replace(features=kept.get(sequence)) for sequence in ids]
    if asked.with_documents:
        documents = lookups.documents(connection, ids)
        items = [item._replace(document=documents.get(sequence)) for sequence, item in zip(ids, items, strict=True)]
    return Page(items, last)


def _walk(
    connection: Connection, collection: int, asked: Asked, hidden: Sequences
) -> tuple[dict[int, bytes], str | None]:
    """Ids by the sequence numbers of a page's items, in order, and the id to go on after."""
    expression, parameters = ("1", []) if asked.filter is None else compile_filter(asked.filter)
    cursor = connection.execute(
        f"SELECT sequence, CAST(items.id AS BLOB), ({expression}), coalesce(length(payload), 0) FROM items"  # nosec B608  # constants of ours; values are parameters
        " WHERE collection = ? AND items.id > ? ORDER BY items.id",
        (*parameters, collection, asked.after),
    )
    found: dict[int, bytes] = {}
    last, size = b"", 0
    deadline = monotonic() + (MOST_SECONDS if asked.filter is not None else inf)
    # Without a filter no page comes short, so what is hidden does not count as looked at.
    rows = _shown(cursor, hidden, skipped=asked.filter is None) if len(hidden) else cursor
    for looked_at, (sequence, item_id, through, length) in enumerate(rows):
        size += length if through else 0
        # One more row than was used says that there is more.
        full = len(found) == asked.limit or (found and size > lookups.MOST_PAYLOAD_BYTES)
        if full or looked_at >= max(asked.limit, MOST_LOOKED_AT) or (looked_at and monotonic() > deadline):
            return found, last.decode()
        last = item_id
        if through:
            found[sequence] = item_id
    return found, None


def _shown(cursor: Cursor, hidden: Sequences, skipped: bool) -> Iterator[tuple[int, bytes, int, int]]:
    """The rows, of which those that are hidden are skipped, or said not to be let through."""
    while block := cursor.fetchmany(BLOCK_ROWS):
        gone = among(hidden, np.array([row[0] for row in block], np.int64))
        for (sequence, item_id, through, length), is_gone in zip(block, gone.tolist(), strict=True):
            if not (skipped and is_gone):
                yield sequence, item_id, 0 if is_gone else through, length

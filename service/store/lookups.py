"""Rows by their sequence numbers, many in one statement."""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any

import orjson

from service.store.rows import ITEM_COLUMNS, stored_item, verified_features
from service.store.schema import StoredItem

BY_SEQUENCE = f"SELECT {ITEM_COLUMNS} FROM json_each(?) CROSS JOIN items ON sequence = value"  # nosec B608  # constants of ours; values are parameters


def listed(sequences: Iterable[int]) -> str:
    """Sequence numbers as one parameter, for json_each."""
    return orjson.dumps(list(sequences)).decode()


def item_rows(connection: Connection, sequences: Iterable[int]) -> list[Any]:
    """Rows of items, not verified yet; those that are not there are left out."""
    return connection.execute(BY_SEQUENCE, (listed(sequences),)).fetchall()


def verified_items(rows: Iterable[Sequence[Any]]) -> dict[int, StoredItem]:
    """The items of such rows by their sequence numbers; raises DamagedStoreError."""
    return {sequence: item for sequence, _, item in map(stored_item, rows)}


def features(connection: Connection, sequences: Iterable[int]) -> dict[int, bytes]:
    """Kept features by their items' sequence numbers, verified; those that are not there are left out."""
    rows = connection.execute(
        "SELECT sequence, features, checksum FROM features WHERE sequence IN (SELECT value FROM json_each(?))",
        (listed(sequences),),
    ).fetchall()
    return dict(map(verified_features, rows))

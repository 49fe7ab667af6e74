"""Deletions of many items: the rows that say which items are deleted already although their own rows are still there.

A deletion is written in one short transaction: a row, and blocks of sequence numbers. From that commit on every read
hides these items. Then their rows are removed in short transactions, between which others write, and the deletion's own
rows go with the last of them. So all items of a deletion are deleted, or none, whenever a process is killed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection
from time import monotonic
from typing import NamedTuple
from zlib import compress, decompress, error

import numpy as np
from numpy.typing import NDArray

from service.store import statements
from service.store.checksums import deleted_block_checksum, deletion_checksum, require
from service.store.errors import DamagedStoreError

Sequences = NDArray[np.int64]
BLOCK_ITEMS = 1024
# Rows that are removed between two looks at the clock.
REMOVED_AT_ONCE = 128
# How long a transaction removes rows; and how long all others may write after it. SQLite looks for the lock again after
# 25 ms at most, as long as it has waited for less than a quarter of a second: so who waits gets it in the pause.
REMOVING_SECONDS, PAUSE_SECONDS = 0.02, 0.035
# Up to so many items are removed at once, in the transaction that deletes them.
FEW = 1000
NOTHING: Sequences = np.empty(0, np.int64)


class Block(NamedTuple):
    """Sequence numbers of items of one collection, packed."""

    collection: int
    packed: bytes


@dataclass(frozen=True)
class Deletion:
    """A deletion whose rows are being removed.

    Its blocks are numbered from 0 to `blocks` - 1. Those before `block` are removed, and so are the first `position`
    items of that one.
    """

    number: int
    blocks: int
    block: int
    position: int


class Gone(NamedTuple):
    """Sequence numbers (n,), ascending, of items that were removed after some removal, or that deletions hide.

    None where the removals since are not all known any more. `removal` and `deletions` are the numbers of the last
    removal, and of all deletions, that are in it.
    """

    sequences: Sequences | None
    removal: int
    deletions: frozenset[int]


def blocks_of(found: Mapping[int, Sequences]) -> list[Block]:
    """Blocks of sequence numbers (n,), ascending, by the collection that the items are of."""
    return [
        Block(collection, _pack(sequences[start : start + BLOCK_ITEMS]))
        for collection, sequences in found.items()
        for start in range(0, len(sequences), BLOCK_ITEMS)
    ]


def begin(connection: Connection, blocks: Sequence[Block]) -> Deletion:
    """Delete the items of the blocks: from the end of this transaction on no read shows them."""
    deletion = Deletion(statements.last(connection, "deletions") + 1, len(blocks), 0, 0)
    _insert(connection, deletion)
    connection.executemany(
        "INSERT INTO deleted_blocks (deletion, block, collection, sequences, checksum) VALUES (?, ?, ?, ?, ?)",
        (
            (deletion.number, place, *block, deleted_block_checksum(deletion.number, place, *block))
            for place, block in enumerate(blocks)
        ),
    )
    return deletion


def unfinished(connection: Connection) -> list[Deletion]:
    """The deletions whose rows are not all removed yet, verified, the oldest first."""
    found = []
    for number, blocks, block, position, checksum in connection.execute(
        "SELECT number, blocks, block, position, checksum FROM deletions ORDER BY number"
    ):
        deletion = Deletion(number, blocks, block, position)
        require(deletion_checksum(number, blocks, block, position) == checksum, f"deletion {number}")
        found.append(deletion)
    return found


def require_whole(connection: Connection) -> None:
    """Raise DamagedStoreError where blocks are there without their deletion, or a deletion without its blocks."""
    expected = {each.number: each.blocks - each.block for each in unfinished(connection)}
    found = dict(connection.execute("SELECT deletion, count(*) FROM deleted_blocks GROUP BY deletion").fetchall())
    if found != expected:
        raise DamagedStoreError(
            f"expected blocks of deletions as they were written, {expected}, found {found}: the database is damaged"
        )


def items_of(connection: Connection, deletions: Iterable[Deletion]) -> dict[int, Sequences]:
    """Sequence numbers (n,) of the items of deletions that are not removed yet, verified, by their collection."""
    found: dict[int, list[Sequences]] = {}
    for deletion in deletions:
        place = deletion.block
        for row in connection.execute(
            "SELECT block, collection, sequences, checksum FROM deleted_blocks WHERE deletion = ? AND block >= ?"
            " ORDER BY block",
            (deletion.number, deletion.block),
        ):
            collection, sequences = _verified(deletion, place, row)
            found.setdefault(collection, []).append(sequences)
            place += 1
        _require_all(deletion, place)
    return {collection: np.concatenate(parts) for collection, parts in found.items()}


def remove_some(connection: Connection, seconds: float) -> bool:
    """Remove rows of the oldest deletion for about so long; returns whether there was anything to remove."""
    deletion = next(iter(unfinished(connection)), None)
    if deletion is None:
        return False
    deadline = monotonic() + seconds
    # Some in any case, however slow the disk is.
    deletion = _remove_from_block(connection, deletion, deadline)
    while deletion.block < deletion.blocks and monotonic() < deadline:
        deletion = _remove_from_block(connection, deletion, deadline)
    if deletion.block < deletion.blocks:
        connection.execute(
            "UPDATE deletions SET block = ?, position = ?, checksum = ? WHERE number = ?",
            (
                *(deletion.block, deletion.position),
                *(deletion_checksum(deletion.number, deletion.blocks, deletion.block, deletion.position),),
                deletion.number,
            ),
        )
    else:
        connection.execute("DELETE FROM deletions WHERE number = ?", (deletion.number,))
    return True


def gone_since(connection: Connection, removal: int | None, hidden: Sequences) -> Gone:
    """What was removed after a removal, or is hidden; of none where the removal is None."""
    last = statements.last(connection, "removals")
    numbers = frozenset(each.number for each in unfinished(connection))
    (first,) = connection.execute("SELECT min(number) FROM removals").fetchone()
    after = last if removal is None else removal
    if first is not None and first > after + 1:
        return Gone(None, last, numbers)
    rows = connection.execute("SELECT sequence FROM removals WHERE number > ?", (after,))
    removed = np.fromiter((sequence for (sequence,) in rows), np.int64)
    return Gone(np.unique(np.concatenate([removed, hidden])), last, numbers)


def count_shown(connection: Connection, collection: int, hidden: Sequences) -> int:
    """How many items of a collection there are, but for those that are hidden; reads all of its ids."""
    (count,) = connection.execute("SELECT count(*) FROM items WHERE collection = ?", (collection,)).fetchone()
    if not len(hidden):
        return int(count)
    (gone,) = connection.execute(
        "SELECT count(*) FROM json_each(?) CROSS JOIN items ON sequence = value WHERE collection = ?",
        (json.dumps(hidden.tolist()), collection),
    ).fetchone()
    return int(count) - int(gone)


def _remove_from_block(connection: Connection, deletion: Deletion, deadline: float) -> Deletion:
    place = (deletion.number, deletion.block)
    row = connection.execute(
        "SELECT block, collection, sequences, checksum FROM deleted_blocks WHERE deletion = ? AND block = ?", place
    ).fetchone()
    if row is None:
        _require_all(deletion, deletion.block)
    collection, sequences = _verified(deletion, deletion.block, row)
    position = deletion.position
    while position < len(sequences):
        some = sequences[position : position + REMOVED_AT_ONCE].tolist()
        statements.remove_rows(connection, some)
        statements.note_removals(connection, collection, some)
        position += len(some)
        if monotonic() >= deadline:
            break
    if position < len(sequences):
        return replace(deletion, position=position)
    connection.execute("DELETE FROM deleted_blocks WHERE deletion = ? AND block = ?", place)
    return replace(deletion, block=deletion.block + 1, position=0)


def _insert(connection: Connection, deletion: Deletion) -> None:
    given = (deletion.number, deletion.blocks, deletion.block, deletion.position)
    connection.execute(
        "INSERT INTO deletions (number, blocks, block, position, checksum) VALUES (?, ?, ?, ?, ?)",
        (*given, deletion_checksum(*given)),
    )


def _verified(deletion: Deletion, place: int, row: tuple[int, int, bytes, int]) -> tuple[int, Sequences]:
    block, collection, packed, checksum = row
    what = f"block {place} of deletion {deletion.number}"
    require(block == place and isinstance(packed, bytes), what)
    require(deleted_block_checksum(deletion.number, block, collection, packed) == checksum, what)
    return collection, _unpack(packed)


def _require_all(deletion: Deletion, place: int) -> None:
    if place < deletion.blocks:
        raise DamagedStoreError(
            f"expected {deletion.blocks} blocks of deletion {deletion.number}, block {place} is gone: the database is "
            "damaged"
        )


def _pack(sequences: Sequences) -> bytes:
    """Differences, compressed: a number takes a byte or two where a good part of all items is deleted."""
    return compress(np.diff(sequences, prepend=0).astype("<i8").tobytes(), 1)


def _unpack(packed: bytes) -> Sequences:
    try:
        return np.cumsum(np.frombuffer(decompress(packed), "<i8"), dtype=np.int64)
    except (error, ValueError) as wrong:
        raise DamagedStoreError(
            f"expected a block of a deletion as it was written, found it damaged: {wrong}"
        ) from None


class Hidden:
    """What deletions hide from one connection, whose reads each come after the one before; kept between them."""

    def __init__(self) -> None:
        self._numbers: frozenset[int] = frozenset()
        self._sequences = NOTHING

    def at(self, connection: Connection) -> Sequences:
        """Sequence numbers (n,), ascending, of all items that are deleted and may still have rows, at this moment.

        To be called within a transaction, by which all else is read. Takes a few microseconds where there are none.
        """
        now = unfinished(connection)
        numbers = frozenset(each.number for each in now)
        # What was read at an earlier moment holds all that is left now, and no number is given twice.
        if not numbers:
            self._numbers, self._sequences = numbers, NOTHING
        elif not numbers <= self._numbers:
            parts = items_of(connection, now)
            self._numbers, self._sequences = numbers, np.unique(np.concatenate([NOTHING, *parts.values()]))
        return self._sequences


def among(hidden: Sequences, sequences: Sequences) -> NDArray[np.bool_]:
    """Which (n,) of some sequence numbers (n,) are hidden."""
    if not len(hidden):
        return np.zeros(len(sequences), bool)
    places = np.minimum(np.searchsorted(hidden, sequences), len(hidden) - 1)
    found: NDArray[np.bool_] = hidden[places] == sequences
    return found


def is_hidden(hidden: Sequences, sequence: int) -> bool:
    """Whether one sequence number is."""
    place = int(np.searchsorted(hidden, sequence)) if len(hidden) else 0
    return place < len(hidden) and int(hidden[place]) == sequence

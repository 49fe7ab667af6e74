"""Snapshots: one collection as a database file of its own, and back again, every row verified both ways."""

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from sqlite3 import Connection

from models.errors import InvalidInputError
from models.versions import NAME
from service.store import temporary_folders
from service.store.connection import check, connect, connect_to_copy, create, require_format, transaction
from service.store.deletions import NOTHING, Hidden, Sequences, count_shown
from service.store.errors import (
    DamagedStoreError,
    StorageError,
    StorageFullError,
    translated,
    unknown_collection,
)
from service.store.open_reads import OpenReads
from service.store.rows import COLLECTION_COLUMNS, collection_row
from service.store.schema import FORMAT, CollectionRow, StoredItem
from service.store.whole_items import whole_items
from service.store.writer import Writer
from service.untold import untold

SUFFIX = ".sqlite"
# Of a file that is still written, and of SQLite's own beside it.
UNFINISHED = ".new"
# Of a folder in the data folder, with a copy of a snapshot of an earlier format that is being restored.
RESTORING = ".restoring-"
BATCH_ROWS = 1000
# How many of how many items are copied.
Copied = Callable[[int, int], None]


@dataclass(frozen=True)
class Taken:
    """A snapshot's file name, what is in it, its size, and its SHA-256 in hex, which also stands in NAME.sha256."""

    name: str
    items: int
    bytes: int
    sha256: str


def take(
    database: Path, collection: str, folder: Path, copied: Copied = untold, open_reads: OpenReads | None = None
) -> Taken:
    """Write a collection as it is at this moment into a new file of the folder; writes go on meanwhile.

    `copied` is told, again and again, how many of how many items are in it; what it raises ends it. `open_reads` counts
    the read of the database.

    Raises UnknownCollectionError, also for what cannot be a name, as it becomes part of a path; StorageFullError or
    StorageError where the folder takes no file. Nothing is left behind by one that fails.
    """
    _require_name(collection)
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        with _locked(folder, fcntl.LOCK_SH):
            return _take(database, collection, folder, copied, open_reads or OpenReads())


def remove(folder: Path, taken: Taken) -> None:
    """Delete a snapshot that is wanted no more."""
    # The snapshot first: its checksum alone is none.
    for name in (taken.name, f"{taken.name}.sha256"):
        (folder / name).unlink(missing_ok=True)


def sweep_all(folder: Path, data: Path) -> None:
    """Delete what snapshots in a folder, and restores into a data folder, have left that were cut off."""
    sweep(folder)
    temporary_folders.sweep(data, RESTORING)


def sweep(folder: Path) -> None:
    """Delete what snapshots that were cut off, as by SIGKILL, have left; nothing while one is being taken.

    What cannot be deleted stays.
    """
    with suppress(OSError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for left in folder.glob(f"*{SUFFIX}{UNFINISHED}*"):
            left.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """The folder itself, of all processes; raises BlockingIOError where that is to be said."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _take(database: Path, collection: str, folder: Path, copied: Copied, open_reads: OpenReads) -> Taken:
    name = f"{collection}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}{SUFFIX}"
    made, beside = folder / f"{name}{UNFINISHED}", folder / f"{name}.sha256"
    try:
        with (
            translated(database),
            open_reads.during(f"snapshot of {collection}"),
            closing(connect(database)) as source,
            transaction(source, "DEFERRED"),
        ):
            items = _copy(source, _by_name(source, collection), made, collection, copied)
        copied(items, items)
        check(made)
        copied(items, items)
        digest = _sha256(made)
        # The checksum first: a snapshot is whole when its own name is there.
        _write_whole(beside, f"{digest}  {name}\n")
        made.replace(folder / name)
        _sync(folder)
    except BaseException:
        for left in (beside, folder / name):
            left.unlink(missing_ok=True)
        raise
    finally:
        for left in (made, *folder.glob(f"{made.name}-*")):
            left.unlink(missing_ok=True)
    return Taken(name, items, (folder / name).stat().st_size, digest)


def restore(snapshot: Path, database: Path, name: str | None = None) -> tuple[str, int]:
    """Put a snapshot's collection into a database, made where there is none, all of it or nothing.

    Returns its name (`name`, or the one it had) and the number of items. Raises DamagedStoreError where the file is
    not as it was written, and InvalidInputError where a collection of that name is there.
    """
    temporary_folders.sweep(database.parent, RESTORING)
    _verify(snapshot)
    with (
        translated(snapshot),
        _of_this_format(snapshot, database.parent) as readable,
        closing(connect_to_copy(readable)) as source,
    ):
        require_format(source, snapshot)
        row = _only(source, snapshot)
        name = name or row.name
        if not NAME.fullmatch(name):
            raise InvalidInputError(f"expected a name of small letters, digits, - and _, at most 64, got {name[:80]!r}")
        with closing(Writer(database)) as writer:
            counted = _Counted(_items(source, row, NOTHING), untold)
            if not writer.load_collection(name, row.settings, counted):
                raise InvalidInputError(f"expected a name that no collection of {database.parent} has, got {name!r}")
    return name, counted.items


@contextmanager
def _of_this_format(snapshot: Path, folder: Path) -> Iterator[Path]:
    """The snapshot, or a copy of it in the folder, for as long as the block takes, where it is of an earlier format."""
    with closing(connect_to_copy(snapshot)) as source:
        (found,) = source.execute("PRAGMA user_version").fetchone()
    if found >= FORMAT:
        yield snapshot
        return
    with temporary_folders.temporary_folder(folder, RESTORING) as beside:
        copy = Path(shutil.copy(snapshot, beside))
        create(copy).close()
        yield copy


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"expected room for a snapshot in {folder}, found none: nothing was kept") from error
        raise StorageError(f"expected a folder {folder} to write a snapshot into: {error.strerror}") from error


def _require_name(collection: str) -> None:
    if not NAME.fullmatch(collection):
        raise unknown_collection(collection)


def _copy(source: Connection, row: CollectionRow, made: Path, name: str, copied: Copied) -> int:
    hidden = Hidden().at(source)
    total = count_shown(source, row.number, hidden)
    with closing(Writer(made)) as writer:
        counted = _Counted(_items(source, row, hidden), lambda items: copied(items, total))
        writer.load_collection(name, row.settings, counted)
    return counted.items


class _Counted:
    """Batches as they are passed on, counted."""

    def __init__(self, batches: Iterator[list[StoredItem]], counted: Callable[[int], None]) -> None:
        self._batches = batches
        self._counted = counted
        self.items = 0

    def __iter__(self) -> Iterator[list[StoredItem]]:
        for batch in self._batches:
            yield batch
            self.items += len(batch)
            self._counted(self.items)


def _items(source: Connection, row: CollectionRow, hidden: Sequences) -> Iterator[list[StoredItem]]:
    """All items of a collection with all that is kept of them, in the order of their sequence numbers, verified."""
    items = (item for _, item in whole_items(source, row, hidden))
    while block := list(islice(items, BATCH_ROWS)):
        yield block


def _by_name(source: Connection, name: str) -> CollectionRow:
    found = source.execute(f"SELECT {COLLECTION_COLUMNS} FROM collections WHERE name = ?", (name,)).fetchone()  # nosec B608  # constants of ours; values are parameters
    if found is None:
        raise unknown_collection(name)
    return collection_row(found)


def _only(source: Connection, snapshot: Path) -> CollectionRow:
    rows = source.execute(f"SELECT {COLLECTION_COLUMNS} FROM collections").fetchall()  # nosec B608  # constants of ours; values are parameters
    if len(rows) != 1:
        raise InvalidInputError(f"expected {snapshot} to be a snapshot of one collection, found {len(rows)}")
    return collection_row(rows[0])


def _verify(snapshot: Path) -> None:
    beside = snapshot.with_name(f"{snapshot.name}.sha256")
    try:
        expected = beside.read_text().split()[0]
        found = _sha256(snapshot)
    except (OSError, IndexError, ValueError) as error:
        raise InvalidInputError(f"expected a snapshot {snapshot} with {beside.name} beside it: {error}") from None
    if found != expected:
        raise DamagedStoreError(f"expected {snapshot} to have the SHA-256 {expected}, got {found}: it is damaged")
    check(snapshot, connect_to_copy)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_whole(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    # The rename itself has to be on disk.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)

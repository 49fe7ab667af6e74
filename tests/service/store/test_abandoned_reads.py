"""A read that ends early leaves nothing open, wherever it ends and whatever still holds its exception."""

import itertools
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from models.errors import InvalidInputError
from service.filters import parse_filter
from service.store.deletions import Hidden
from service.store.errors import StorageError
from service.store.filtering import compile_filter
from service.store.open_reads import OpenReads
from service.store.pages import Asked
from service.store.reader import FEW, Position, Reader
from service.store.reading import Reading
from service.store.recoding_reader import Pair, RecodingReader
from service.store.recoding_writer import RecodingWriter
from service.store.schema import CollectionRow, CollectionSettings, StoredItem
from service.store.snapshots import restore, take
from service.store.writer import Writer

# More than one block of rows, and more than are sorted rather than walked.
ITEMS = FEW + 500
ODD = parse_filter({"odd": True})
COMPILED = compile_filter(ODD)


class LeftEarlyError(Exception):
    """What the tests raise in the middle of a read."""


@dataclass
class Store:
    """A database with one collection under re-coding, and readers of it."""

    path: Path
    writer: Writer
    row: CollectionRow
    readers: dict[type[Reading], Any]
    pair: Pair
    job: int
    # Kept alive with their tracebacks, as a logger or a waiting task would keep them.
    errors: list[BaseException] = field(default_factory=list)
    written: int = 0

    def require_nothing_open(self, reader: Any) -> None:
        """Assert that the reader holds no snapshot: what is written now is seen, and the WAL can be emptied."""
        assert not reader._connection.in_transaction
        self.written += 1
        item = StoredItem(f"new {self.written}", b"\x07" * 8, None, b"features", b"document")
        self.writer.upsert(self.row.number, [item], (self.pair.new.number, [item]))
        with closing(sqlite3.connect(self.path, timeout=0)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "the WAL is still read"
        with reader._reading() as connection:
            (found,) = connection.execute("SELECT count(*) FROM items WHERE id = ?", (item.id,)).fetchone()
        assert found == 2, "the reader sees an old snapshot"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("abandoned") / "hammingway.sqlite"
    with closing(Writer(path)) as writer:
        settings = CollectionSettings(64, "h@1", keep_features="int8", keep_documents=True)
        row = writer.create_collection("c", settings)
        assert row is not None
        writer.upsert(row.number, [_item(number) for number in range(ITEMS)])
        # So many that they are hidden before their rows are removed, and as many as are removed at once.
        writer.delete(row.number, [f"i{number:05}" for number in range(0, 3000, 2)])
        writer.delete(row.number, [f"i{number:05}" for number in range(3000, 4000, 2)])
        job = RecodingWriter(writer).begin(row.number, "h@2", 64, False)
        with closing(Reader(path)) as reader, closing(RecodingReader(path)) as recoding_reader:
            pair = recoding_reader.pair(row.number)
            assert pair is not None
            readers: dict[type[Reading], Any] = {Reader: reader, RecodingReader: recoding_reader}
            yield Store(path, writer, row, readers, pair, job.number)


def _item(number: int) -> StoredItem:
    payload = orjson.dumps({"odd": number % 2 == 1})
    return StoredItem(f"i{number:05}", number.to_bytes(8, "big"), payload, b"features", b"document")


Call = Callable[[Any, Store], Any]
# Every public method of each reader, with arguments by which it reads rows.
CASES: dict[type[Reading], dict[str, Call]] = {
    Reader: {
        "version": lambda reader, store: reader.version(),
        "collection": lambda reader, store: reader.collection("c"),
        "collections": lambda reader, store: reader.collections(),
        "item": lambda reader, store: reader.item(store.row.number, "i00001"),
        "whole_item": lambda reader, store: reader.whole_item(store.row, "i00001", with_document=True),
        "by_sequence": lambda reader, store: reader.by_sequence(range(1, ITEMS)),
        "features": lambda reader, store: reader.features(range(1, 2000)),
        "documents": lambda reader, store: reader.documents(range(1, 2000)),
        "first_by_id": lambda reader, store: reader.first_by_id(store.row.number, range(1, ITEMS), 7),
        "by_id": lambda reader, store: reader.by_id(store.row.number),
        "all_by_id": lambda reader, store: reader.all_by_id(store.row.number),
        "page": lambda reader, store: reader.page(store.row.number, Asked(100, "i00500", ODD, True, True)),
        "together": lambda reader, store: reader.together(store.row.number),
        "gone_since": lambda reader, store: reader.gone_since(0),
        "there": lambda reader, store: reader.there(np.arange(1, 2000)),
        "is_deleting": lambda reader, store: reader.is_deleting(),
        "highest": lambda reader, store: reader.highest(),
        "matching_between": lambda reader, store: reader.matching_between(
            store.row.number, COMPILED, 0, 10_000, 60.0, verified=True
        ),
        "matching_by_id": lambda reader, store: reader.matching_by_id(
            store.row.number, COMPILED, "", (0, 10_000), 10_000, 60.0, verified=True
        ),
        "lets_through": lambda reader, store: reader.lets_through(COMPILED, range(1, ITEMS), 60.0),
        "changes": lambda reader, store: reader.changes(Position(1, 1)),
    },
    RecodingReader: {
        "version": lambda reader, store: reader.version(),
        "pair": lambda reader, store: reader.pair(store.row.number),
        "batch": lambda reader, store: reader.batch(store.pair, 500, 10_000),
        "count": lambda reader, store: reader.count(store.row.number),
        "missing": lambda reader, store: reader.missing(store.pair.recoding),
        "jobs": lambda reader, store: reader.jobs(),
        "unfinished": lambda reader, store: reader.unfinished(),
        "job": lambda reader, store: reader.job(store.job),
    },
}
EVERY = [(kind, name) for kind, cases in CASES.items() for name in cases]
MANAGERS = [(Reader, "all_by_id"), (Reader, "changes")]


def _consume(made: Any) -> int:
    """Read all that a call gives, lazily read parts too; returns how many of these there were."""
    if not isinstance(made, AbstractContextManager):
        return 0
    with made as opened:
        parts = [opened] if isinstance(opened, Iterator) else [opened.added, opened.removed]
        return sum(1 for part in parts for _ in part)


class _Rows:
    """A row factory that counts rows, and raises at one of them, when its statement is still open."""

    def __init__(self, fatal: int = -1) -> None:
        self.count = 0
        self._fatal = fatal

    def __call__(self, cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.count == self._fatal:
            raise LeftEarlyError
        self.count += 1
        return row


class _Steps:
    """Whether SQLite, which asks at each of its steps, is to be interrupted: at the steps of these numbers."""

    def __init__(self, fatal: range) -> None:
        self._numbers = itertools.count()
        self._fatal = fatal

    def __call__(self) -> bool:
        return next(self._numbers) in self._fatal


def _public(kind: type[Reading]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_") and name != "close"}


def test_every_public_read_has_a_case() -> None:
    assert {kind: set(cases) for kind, cases in CASES.items()} == {kind: _public(kind) for kind in CASES}
    assert set(CASES) == set(Reading.__subclasses__())


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_an_error_at_any_row_leaves_nothing_open(store: Store, kind: type[Reading], name: str) -> None:
    reader = store.readers[kind]
    for fatal in _places(store, kind, name):
        reader._hidden = Hidden()
        reader._connection.row_factory = _Rows(fatal)
        try:
            with pytest.raises(LeftEarlyError) as raised:
                _consume(CASES[kind][name](reader, store))
        finally:
            reader._connection.row_factory = None
        store.errors.append(raised.value)
        store.require_nothing_open(reader)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_an_interrupt_at_any_moment_leaves_nothing_open(store: Store, kind: type[Reading], name: str) -> None:
    reader = store.readers[kind]
    for moment in (0, 1, 50, 3000):
        _interrupted(store, kind, name, _Steps(range(moment, moment + 1)))
        store.require_nothing_open(reader)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_rollback_that_fails_is_made_up_for_by_the_next_read(store: Store, kind: type[Reading], name: str) -> None:
    for moment in (1, 50, 3000):
        _interrupted(store, kind, name, _Steps(range(moment, sys.maxsize)))
        with store.readers[kind]._reading():
            pass
        store.require_nothing_open(store.readers[kind])


def _interrupted(store: Store, kind: type[Reading], name: str, at: Callable[[], bool]) -> None:
    """Read until SQLite is interrupted, which it asks `at` about at each of its steps."""
    reader = store.readers[kind]
    reader._connection.set_progress_handler(at, 1)
    try:
        _consume(CASES[kind][name](reader, store))
    except StorageError as error:
        store.errors.append(error)
    finally:
        reader._connection.set_progress_handler(None, 0)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_read_that_is_not_consumed_leaves_nothing_open(store: Store, kind: type[Reading], name: str) -> None:
    reader = store.readers[kind]
    kept = CASES[kind][name](reader, store)
    if isinstance(kept, AbstractContextManager):
        with kept as opened:
            kept = opened
    store.require_nothing_open(reader)
    for part in _parts(kept):
        # Nothing is read outside of its moment, in silence.
        with pytest.raises(sqlite3.ProgrammingError):
            next(part)


@pytest.mark.parametrize("blocks", [0, 1, None])
@pytest.mark.parametrize(("kind", "name"), MANAGERS)
def test_an_error_in_the_block_leaves_nothing_open(
    store: Store, kind: type[Reading], name: str, blocks: int | None
) -> None:
    reader = store.readers[kind]

    def leave() -> None:
        with CASES[kind][name](reader, store) as opened:
            parts = _parts(opened)
            for part in parts:
                for _ in part if blocks is None else range(blocks):
                    if blocks is not None:
                        next(part)
            raise LeftEarlyError

    with pytest.raises(LeftEarlyError) as raised:
        leave()
    store.errors.append(raised.value)
    store.require_nothing_open(reader)


@pytest.mark.parametrize(("kind", "name"), MANAGERS)
def test_a_generator_that_is_dropped_in_the_block_leaves_nothing_open(
    store: Store, kind: type[Reading], name: str
) -> None:
    reader, kept = store.readers[kind], []

    def reply() -> Iterator[object]:
        with CASES[kind][name](reader, store) as opened:
            parts = _parts(opened)
            kept.extend(parts)
            for part in parts:
                yield from part

    replying = reply()
    next(replying)
    del replying
    store.require_nothing_open(reader)


def _parts(opened: Any) -> list[Iterator[Any]]:
    """The parts of what a read gave that are read lazily."""
    if isinstance(opened, Iterator):
        return [opened]
    return [each for each in vars(opened).values() if isinstance(each, Iterator)] if hasattr(opened, "added") else []


def _places(store: Store, kind: type[Reading], name: str) -> list[int]:
    """Rows at which to raise: the first two, one in the middle and the last."""
    reader = store.readers[kind]
    rows = _Rows()
    # Read anew, as at the first time.
    reader._hidden = Hidden()
    reader._connection.row_factory = rows
    try:
        _consume(CASES[kind][name](reader, store))
    finally:
        reader._connection.row_factory = None
    assert rows.count, "the case reads no row"
    return sorted({0, min(1, rows.count - 1), rows.count // 2, rows.count - 1})


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in EVERY if name != "version"])
def test_a_read_has_the_name_of_its_method_while_it_is_open(store: Store, kind: type[Reading], name: str) -> None:
    reader, names = store.readers[kind], set()

    def noted(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        names.update(read.name for read in reader._open_reads._open)
        return row

    reader._connection.row_factory = noted
    try:
        _consume(CASES[kind][name](reader, store))
    finally:
        reader._connection.row_factory = None
    assert names == {f"{kind.__name__}.{name}"}
    assert reader._open_reads.oldest_seconds() == 0


@pytest.mark.parametrize("place", [0, 1, 700, 2000])
def test_a_write_that_fails_at_any_row_leaves_nothing_open(store: Store, place: int) -> None:
    """What a write reads is closed, too, and the write is undone."""
    writer, reader = store.writer, store.readers[Reader]
    before = len(reader.by_id(store.row.number))
    writer._connection.row_factory = _Rows(place)
    try:
        with pytest.raises(LeftEarlyError) as raised, writer.writing() as connection:
            connection.execute("DELETE FROM features WHERE sequence > 4000")
            rows = connection.execute("SELECT * FROM items WHERE collection = ?", (store.row.number,))
            for _ in rows:
                pass
    finally:
        writer._connection.row_factory = None
    store.errors.append(raised.value)
    assert not writer._connection.in_transaction
    assert not writer._connection._cursors
    store.require_nothing_open(reader)
    assert len(reader.by_id(store.row.number)) == before + 1


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_snapshot_that_is_left_at_any_moment_leaves_nothing_open(store: Store, tmp_path: Path, calls: int) -> None:
    left = calls

    def copied(done: int, total: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise LeftEarlyError

    reads = OpenReads()
    with pytest.raises(LeftEarlyError) as raised:
        take(store.path, "c", tmp_path, copied, reads)
    store.errors.append(raised.value)
    assert reads.oldest_seconds() == 0
    assert not list(tmp_path.iterdir())
    store.require_nothing_open(store.readers[Reader])


def test_a_restore_that_is_refused_leaves_nothing_open(store: Store, tmp_path: Path) -> None:
    taken = take(store.path, "c", tmp_path)
    with pytest.raises(InvalidInputError, match="expected a name that no collection") as raised:
        restore(tmp_path / taken.name, store.path)
    store.errors.append(raised.value)
    store.require_nothing_open(store.readers[Reader])

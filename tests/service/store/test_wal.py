"""The WAL is emptied although reads overlap all the time, and no write waits long for that."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.store.reader import Position, Reader
from service.store.schema import CollectionRow, CollectionSettings, StoredItem
from service.store.wal import LARGE_BYTES, LONGEST_STOP_SECONDS
from service.store.writer import Writer

MOST_BYTES = 64 * 2**20
# Of one write, in the WAL.
WRITTEN_BYTES = 2**20


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "hammingway.sqlite"


def _write(writer: Writer, row: CollectionRow, number: int) -> None:
    # The same few items: the database stays small, and the WAL would not.
    writer.upsert(row.number, [StoredItem(f"i{number % 4}", b"\x01", b'"' + b"x" * WRITTEN_BYTES + b'"')])


def _wal_bytes(database: Path) -> int:
    return database.with_name(f"{database.name}-wal").stat().st_size


@contextmanager
def _overlapping(database: Path, seconds: float) -> Iterator[None]:
    """Two reads of so many seconds each, again and again: at each moment at least one is open."""
    stopping = threading.Event()

    def read(first_wait: float) -> None:
        time.sleep(first_wait)
        with closing(Reader(database)) as reader:
            while not stopping.is_set():
                with reader.changes(Position()):
                    time.sleep(seconds)

    threads = [threading.Thread(target=read, args=(share * seconds,)) for share in (0, 0.5)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def test_the_wal_stays_small_while_short_reads_overlap(database: Path) -> None:
    with closing(Writer(database)) as writer:
        row = writer.create_collection("c", CollectionSettings(8))
        assert row is not None
        largest = 0
        with _overlapping(database, 0.02):
            for number in range(2 * MOST_BYTES // WRITTEN_BYTES):
                _write(writer, row, number)
                time.sleep(0.01)
                largest = max(largest, _wal_bytes(database))
        assert largest < MOST_BYTES


def test_a_long_read_holds_up_no_write_for_long_and_the_wal_is_emptied_after_it(database: Path) -> None:
    with closing(Writer(database)) as writer, closing(Reader(database)) as reader:
        row = writer.create_collection("c", CollectionSettings(8))
        assert row is not None
        with reader.all_by_id(row.number):
            while _wal_bytes(database) < 2 * LARGE_BYTES:
                began = time.monotonic()
                _write(writer, row, 0)
                # Two waits: for the read that is behind, and for those that are not.
                assert time.monotonic() - began < 2 * LONGEST_STOP_SECONDS + 1
        deadline = time.monotonic() + 10
        while _wal_bytes(database) > LARGE_BYTES and time.monotonic() < deadline:
            _write(writer, row, 0)
            time.sleep(0.05)
        assert _wal_bytes(database) <= LARGE_BYTES


def test_the_wal_is_emptied_after_one_large_write(database: Path) -> None:
    with closing(Writer(database)) as writer:
        row = writer.create_collection("c", CollectionSettings(8))
        assert row is not None
        payload = b'"' + b"x" * WRITTEN_BYTES + b'"'
        many = [StoredItem(f"i{number}", b"\x01", payload) for number in range(2 * LARGE_BYTES // WRITTEN_BYTES)]
        writer.upsert(row.number, many)
        assert _wal_bytes(database) == 0
        assert database.stat().st_size > 2 * LARGE_BYTES

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from service.store.errors import DamagedStoreError, StorageError, UnknownCollectionError, UnusableStoreError
from service.store.pages import Asked
from service.store.reader import FEW, Position, Reader
from service.store.schema import CollectionSettings, IndexSettings, StoredItem
from service.store.writer import Writer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Writer]:
    opened = Writer(tmp_path / "hammingway.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def reader(store: Writer, tmp_path: Path) -> Iterator[Reader]:
    opened = Reader(tmp_path / "hammingway.sqlite")
    yield opened
    opened.close()


def test_upsert_replaces_and_delete_counts(store: Writer, reader: Reader) -> None:
    row = store.create_collection("shoes", CollectionSettings(8))
    assert row is not None
    store.upsert(row.number, [StoredItem("a", b"\x01"), StoredItem("b", b"\x02", b"{}")])
    store.upsert(row.number, [StoredItem("a", b"\x03", b'{"n":1}')])
    assert reader.item(row.number, "a") == StoredItem("a", b"\x03", b'{"n":1}')
    assert store.delete(row.number, ["a", "missing"]) == 1
    assert reader.item(row.number, "a") is None
    assert reader.item(row.number, "b") == StoredItem("b", b"\x02", b"{}")


def test_a_batch_that_fails_changes_nothing(store: Writer, reader: Reader) -> None:
    row = store.create_collection("shoes", CollectionSettings(8))
    assert row is not None
    store.upsert(row.number, [StoredItem("a", b"\x01")])
    with pytest.raises(sqlite3.IntegrityError):
        store.upsert(row.number, [StoredItem("a", b"\x02"), StoredItem("b", b"\x02"), StoredItem("b", b"\x03")])
    assert reader.item(row.number, "a") == StoredItem("a", b"\x01")
    assert reader.item(row.number, "b") is None


def test_a_taken_name_is_told(store: Writer, reader: Reader) -> None:
    assert store.create_collection("shoes", CollectionSettings(8)) is not None
    assert store.create_collection("shoes", CollectionSettings(16)) is None
    found = reader.collection("shoes")
    assert found is not None
    assert found.settings.bits == 8


@pytest.mark.parametrize(
    "index",
    [
        IndexSettings("ivf", 8, 2),
        IndexSettings("auto"),
        IndexSettings("auto", 8, 2, 50_000),
        IndexSettings("auto", above=1),
    ],
)
def test_every_index_is_kept_and_no_byte_of_its_kind_can_be_another(
    store: Writer, reader: Reader, tmp_path: Path, index: IndexSettings
) -> None:
    row = store.create_collection("made", CollectionSettings(8, index=index))
    other = store.create_collection("changed", CollectionSettings(8))
    assert row is not None and other is not None
    store.change_index(other.number, index)
    assert [each.settings.index for each in reader.collections()] == [index, index]
    with closing(sqlite3.connect(tmp_path / "hammingway.sqlite", isolation_level=None)) as connection:
        (kind,) = connection.execute("SELECT index_kind FROM collections WHERE name = 'made'").fetchone()
        for place, flip in itertools.product(range(len(kind)), (1, 2, 4, 16, 64)):
            damaged = f"{kind[:place]}{chr(ord(kind[place]) ^ flip)}{kind[place + 1 :]}"
            connection.execute("UPDATE collections SET index_kind = ? WHERE name = 'made'", (damaged,))
            with pytest.raises(DamagedStoreError, match="collection 'made'"):
                reader.collection("made")


def test_a_deleted_collection_takes_no_more_items_even_when_its_name_is_used_again(
    store: Writer, reader: Reader
) -> None:
    old = store.create_collection("shoes", CollectionSettings(8))
    assert old is not None
    store.upsert(old.number, [StoredItem("a", b"\x01")])
    store.delete_collection(old.number)
    new = store.create_collection("shoes", CollectionSettings(8))
    assert new is not None
    with pytest.raises(UnknownCollectionError):
        store.upsert(old.number, [StoredItem("b", b"\x01")])
    with pytest.raises(UnknownCollectionError):
        store.delete(old.number, ["a"])
    assert reader.collections() == [new]
    assert reader.item(old.number, "a") is None
    assert reader.item(new.number, "a") is None


def test_first_by_id_is_the_order_of_code_points_for_few_and_for_many(store: Writer, reader: Reader) -> None:
    row = store.create_collection("shoes", CollectionSettings(8))
    assert row is not None
    ids = ["\U0001f45f", "z", "\uffff", "Z", "é", "", "a\x00b", "a"]
    store.upsert(row.number, [StoredItem(item_id, b"x") for item_id in ids])
    store.upsert(row.number, [StoredItem(f"~{n:05}", b"x") for n in range(FEW)])
    everything = reader.by_sequence(range(1, len(ids) + FEW + 1))
    few = list(everything)[: len(ids)]
    for sequences in (few, list(everything)):
        expected = sorted(everything[sequence].id for sequence in sequences)
        found = [everything[sequence].id for sequence in reader.first_by_id(row.number, sequences, 20)]
        assert found == expected[:20]


WRITER = """
import sys
from pathlib import Path
from service.store.reader import Reader
from service.store.schema import CollectionSettings, StoredItem
from service.store.writer import Writer
store = Writer(Path(sys.argv[1]))
number = store.create_collection("c", CollectionSettings(8)).number
for n in range(100_000):
    store.upsert(number, [StoredItem(f"{n}-{i}", b"x") for i in range(3)])
    print(n, flush=True)
"""


def test_sigkill_loses_nothing_acknowledged_and_keeps_no_half_batch(tmp_path: Path) -> None:
    path = tmp_path / "hammingway.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split()]
    writer.wait()
    writer.stdout.close()
    store = Reader(path)
    row = store.collection("c")
    assert row is not None
    last = acknowledged[-1]
    for n in range(last + 1):
        assert all(store.item(row.number, f"{n}-{i}") for i in range(3))
    present = [store.item(row.number, f"{last + 1}-{i}") is not None for i in range(3)]
    assert present in ([True] * 3, [False] * 3)
    store.close()


def test_a_database_behind_its_mark_is_refused_and_one_without_a_mark_is_not(tmp_path: Path) -> None:
    path = tmp_path / "hammingway.sqlite"
    with closing(Writer(path)) as store:
        row = store.create_collection("c", CollectionSettings(8))
        assert row is not None
        early = path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()
        store.upsert(row.number, [StoredItem("a", b"x")])
    path.write_bytes(early[0])
    path.with_name(f"{path.name}-wal").write_bytes(early[1])
    with pytest.raises(DamagedStoreError, match=r"committed 2 rows, found 1.*delete .*hammingway\.sqlite-mark"):
        Writer(path)
    path.with_name(f"{path.name}-mark").unlink()
    Writer(path).close()


def test_a_database_that_another_process_is_making_at_this_moment_is_waited_for(tmp_path: Path) -> None:
    database = tmp_path / "hammingway.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None, check_same_thread=False)) as other:
        # Not WAL yet, and locked for its first write.
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.2, other.execute, ["ROLLBACK"])
        done.start()
        try:
            with closing(Writer(database)) as writer:
                assert writer.create_collection("shoes", CollectionSettings(8)) is not None
        finally:
            done.join()


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("PRAGMA user_version=4", UnusableStoreError),
        ("PRAGMA application_id=7", UnusableStoreError),
        ("DROP INDEX items_by_id", DamagedStoreError),
    ],
)
def test_another_database_is_refused(tmp_path: Path, statement: str, error: type[Exception]) -> None:
    path = tmp_path / "hammingway.sqlite"
    Writer(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    with pytest.raises(error, match=r"hammingway\.sqlite"):
        Writer(path)


def test_a_read_of_minutes_is_broken_off_when_its_reader_is_closed(store: Writer, tmp_path: Path) -> None:
    reader, begun = Reader(tmp_path / "hammingway.sqlite"), threading.Event()

    def read() -> None:
        with reader._reading() as connection:
            connection.create_function("begin", 0, begun.set)
            endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
            connection.execute(f"{endless} SELECT max(x) FROM n WHERE begin() IS NULL").fetchone()

    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(read)
        assert begun.wait(10)
        reader.close()
        with pytest.raises(StorageError, match="interrupted"):
            reading.result(10)


def test_a_file_that_is_no_database_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "hammingway.sqlite"
    path.write_text("a letter to mother " * 100)
    with pytest.raises(UnusableStoreError, match="to be Hammingway's database or to be made"):
        Writer(path)
    assert path.read_text() == "a letter to mother " * 100


@pytest.mark.parametrize("table", ["features", "documents"])
@pytest.mark.parametrize("damage", ["DELETE FROM {}", "UPDATE {} SET sequence = sequence + 100"])
def test_an_item_that_lacks_what_is_kept_of_each_is_damaged(
    store: Writer, reader: Reader, tmp_path: Path, table: str, damage: str
) -> None:
    settings = CollectionSettings(8, "h@1", keep_features="int8", keep_documents=True)
    row = store.create_collection("shoes", settings)
    assert row is not None
    store.upsert(
        row.number, [StoredItem("a", b"\x01", None, b"first", b"tone"), StoredItem("b", b"\x02", None, b"2", b"t")]
    )
    store.delete(row.number, ["b"])
    assert reader.features([1, 2]) == {1: b"first"}
    assert reader.documents([1, 2]) == {1: b"tone"}
    with closing(sqlite3.connect(tmp_path / "hammingway.sqlite")) as connection:
        connection.execute(damage.format(table))
        connection.commit()
    alone = reader.features if table == "features" else reader.documents
    for read in (
        lambda: alone([1, 2]),
        lambda: reader.whole_item(row, "a", with_document=True),
        lambda: reader.page(row.number, Asked(10, with_features=True, with_documents=True)),
    ):
        with pytest.raises(DamagedStoreError, match="expected what is kept of item 'a', found none"):
            read()
    assert reader.item(row.number, "a") == StoredItem("a", b"\x01")
    assert alone([2]) == {}


def test_features_come_and_go_with_their_items(store: Writer, reader: Reader, tmp_path: Path) -> None:
    row = store.create_collection("shoes", CollectionSettings(8, "h@1", keep_features="int8"))
    assert row is not None
    store.upsert(row.number, [StoredItem("a", b"\x01", None, b"first"), StoredItem("b", b"\x02", None, b"other")])
    store.upsert(row.number, [StoredItem("a", b"\x01", None, b"second")])
    assert reader.whole_item(row, "a") == StoredItem("a", b"\x01", None, b"second")
    assert reader.whole_item(row, "b") == StoredItem("b", b"\x02", None, b"other")
    store.delete(row.number, ["b"])
    assert reader.whole_item(row, "b") is None
    store.delete_collection(row.number)
    with closing(sqlite3.connect(tmp_path / "hammingway.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM features").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (0,)


def test_removals_are_kept_only_so_long(
    store: Writer, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.statements.REMOVALS_KEPT", 3)
    row = store.create_collection("shoes", CollectionSettings(8))
    assert row is not None
    for code in range(9):
        store.upsert(row.number, [StoredItem("a", bytes([code])), StoredItem("b", bytes([code]))])
    with reader.changes(Position(2, 0)) as changes:
        assert changes.anew
        assert [code for block in changes.added for code in block.codes] == [b"\x08", b"\x08"]
        assert list(changes.removed) == []
        newest = changes.position
    with reader.changes(Position(newest.sequence - 2, newest.removal - 2)) as changes:
        assert not changes.anew
        assert [len(block.sequences) for block in changes.removed] == [2]

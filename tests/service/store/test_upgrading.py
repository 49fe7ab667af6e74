"""A database of format 1 or 2, as its code made it, becomes one of format 3; what is damaged or newer is refused."""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.items import Item, Query, Wanted
from service.opening import opened
from service.settings import Settings
from service.store.connection import committed
from service.store.errors import DamagedStoreError, UnusableStoreError
from service.store.recoding_reader import RecodingReader
from service.store.schema import StoredItem
from service.store.snapshots import restore
from service.store.writer import Writer
from tests.serving import running

# Made by the last version that wrote format 1: two collections that were changed, and one deleted before.
MADE = Path(__file__).parent / "format-1"
# Made by the last version that wrote format 2.
MADE_2 = Path(__file__).parent / "format-2"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the database, with its mark."""
    for file in MADE.glob("hammingway.sqlite*"):
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / "hammingway.sqlite"


def _format(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _counts(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        (collections,) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'collections'").fetchone()
        return collections, committed(connection)


def test_all_is_there_as_it_was(old: Path, tmp_path: Path) -> None:
    assert _format(old) == 1
    before = _counts(old)
    for _ in range(2):
        with opened(old, Hashers(tmp_path)) as service:
            service.load()
            kept, shoes = service.collections.all()
            assert (kept.name, kept.hasher, kept.bits, kept.keep_features, kept.count) == ("kept", "h@1", 64, "int8", 2)
            assert (shoes.name, shoes.hasher, shoes.bits, shoes.count) == ("shoes", None, 16, 49)
            assert (shoes.index.kind, shoes.index.lists, shoes.index.probes) == ("ivf", 8, 3)
            assert not kept.keep_documents and not shoes.keep_documents
            found = service.collections.search("shoes", [Query("code", "0000")], Wanted(100)).results[0]
            rng = np.random.default_rng(0)
            codes = {f"é{n}": rng.bytes(2) for n in range(50)}
            del codes["é7"]
            expected = sorted((int.from_bytes(code).bit_count(), item_id) for item_id, code in codes.items())
            assert [(match.distance, match.id) for match in found] == expected
            assert service.collections.item("shoes", "é8") == StoredItem("é8", codes["é8"], b'{"n":8}')
            assert service.collections.shown("kept", "b", frozenset({"features"}))[1].features is not None
        assert (_format(old), _counts(old)) == (3, before)
    with opened(old, Hashers(tmp_path)) as service:
        # Numbers go on where they were.
        service.collections.create("new", NewCollection(bits=16))
        service.collections.upsert("new", [Item("a", "code", "0001")])
        assert service.collections.get("new").count == 1
    assert _counts(old)[0] == before[0] + 1


def test_a_snapshot_of_format_1_is_restored_and_stays_as_it_is(tmp_path: Path) -> None:
    (snapshot,) = MADE.glob("shoes-*.sqlite")
    digest = hashlib.sha256(snapshot.read_bytes()).hexdigest()
    assert restore(snapshot, tmp_path / "hammingway.sqlite", "back") == ("back", 49)
    assert hashlib.sha256(snapshot.read_bytes()).hexdigest() == digest
    assert {path.name for path in tmp_path.iterdir()} == {"hammingway.sqlite", "hammingway.sqlite-mark"}
    with opened(tmp_path / "hammingway.sqlite", Hashers(tmp_path)) as service:
        service.load()
        assert service.collections.get("back").count == 49


HANGING = """
import sys, time
from pathlib import Path
from service.store import snapshots
def hang(copy):
    print("copied", flush=True)
    time.sleep(600)
snapshots.create = hang
snapshots.restore(Path(sys.argv[1]), Path(sys.argv[2]), "killed")
"""


@contextmanager
def _hanging_restore(snapshot: Path, database: Path) -> Iterator[Path]:
    """The folder of a restore in another process, which hangs until the block ends and is killed then."""
    command = [sys.executable, "-c", HANGING, str(snapshot), str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "copied\n"
            (folder,) = set(database.parent.glob(".restoring-*"))
            yield folder
        finally:
            process.kill()


@pytest.mark.parametrize("at", ["restore", "start"])
def test_what_a_killed_restore_left_is_swept_and_a_live_one_is_let_be(tmp_path: Path, at: str) -> None:
    (snapshot,) = MADE.glob("shoes-*.sqlite")
    data = tmp_path / "data"
    data.mkdir()

    def look() -> None:
        if at == "restore":
            (data / "hammingway.sqlite").unlink(missing_ok=True)
            (data / "hammingway.sqlite-mark").unlink(missing_ok=True)
            assert restore(snapshot, data / "hammingway.sqlite", "back") == ("back", 49)
        else:
            with running(Settings(hashers=tmp_path / "none", data=data)):
                pass

    with _hanging_restore(snapshot, data / "hammingway.sqlite") as folder:
        assert [path.name for path in folder.iterdir()] == [snapshot.name]
        look()
        assert list(data.glob(".restoring-*")) == [folder]
    assert list(data.glob(".restoring-*")) == [folder]
    look()
    assert not list(data.glob(".restoring-*"))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A copy of a database of format 2, with documents and a re-coding half done."""
    for file in MADE_2.glob("hammingway.sqlite*"):
        shutil.copy(file, tmp_path / file.name)
    return tmp_path / "hammingway.sqlite"


def test_all_of_format_2_is_there_as_it_was(second: Path, tmp_path: Path) -> None:
    assert _format(second) == 2
    before = _counts(second)
    for _ in range(2):
        with opened(second, Hashers(tmp_path)) as service, closing(RecodingReader(second)) as reader:
            service.load()
            kept, shoes = service.collections.all()
            assert (kept.name, kept.hasher, kept.keep_documents, kept.count) == ("kept", "x@1", True, 3)
            assert (shoes.name, shoes.index.kind, shoes.index.above, shoes.count) == ("shoes", "auto", 20_000, 49)
            found = service.collections.search("shoes", [Query("code", "0000")], Wanted(100)).results[0]
            assert len(found) == 49
            pair = reader.pair(3)
            assert pair is not None
            assert (pair.new.settings.hasher, pair.recoding.stage) == ("x@2", "coding")
            assert [job.kind for job in reader.jobs()] == ["recode"]
        assert (_format(second), _counts(second)) == (3, before)


def test_a_snapshot_of_format_2_is_restored(tmp_path: Path) -> None:
    (snapshot,) = MADE_2.glob("shoes-*.sqlite")
    assert restore(snapshot, tmp_path / "hammingway.sqlite", "back") == ("back", 49)


def test_a_database_of_format_2_whose_tables_are_others_is_refused(second: Path) -> None:
    with closing(sqlite3.connect(second)) as connection:
        connection.execute("CREATE TABLE deletions (number INTEGER)")
        connection.commit()
    with pytest.raises(DamagedStoreError, match="tables as they were made"):
        Writer(second)
    assert _format(second) == 2


@pytest.mark.parametrize(
    ("statement", "error", "told"),
    [
        ("UPDATE collections SET bits = 32 WHERE name = 'shoes'", DamagedStoreError, "collection 'shoes'"),
        ("DROP TABLE features", DamagedStoreError, "tables as they were made"),
        ("PRAGMA user_version=4", UnusableStoreError, "have format 3, found 4: it was written by a newer version"),
    ],
)
def test_what_is_damaged_or_newer_is_refused_and_left_as_it_is(
    old: Path, statement: str, error: type[Exception], told: str
) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = crc32(old.read_bytes()), _format(old)
    with pytest.raises(error, match=told):
        Writer(old)
    assert (crc32(old.read_bytes()), _format(old)) == before

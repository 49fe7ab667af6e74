"""Every byte of a small database and of its WAL flipped in turn, and many of a large one: detected, or harmless."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from models.errors import HammingwayError
from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.items import Item, Query, Wanted
from service.opening import opened
from service.settings import Settings
from service.store import deletions
from service.store.connection import check
from service.store.errors import DamagedStoreError, StorageError, UnusableStoreError
from service.store.jobs import ItemError
from service.store.reader import Reader
from service.store.recoding_reader import RecodingReader
from service.store.recoding_writer import RecodingWriter
from service.store.schema import CollectionSettings, StoredItem
from service.store.writer import Writer
from tests.serving import running

DETECTED = (DamagedStoreError, UnusableStoreError, StorageError)
PAGE_BYTES = 512
BITS = 16
EVERYTHING = Wanted(limit=10_000)
FLIPS, FLIPS_EACH, LARGE_PARTS = 40, 100, 10


def _answers(database: Path) -> list[object]:
    """All that can be asked of a database: rows, counts, every item by its id, searches by code."""
    with opened(database, Hashers(database.parent / "hashers")) as service:
        service.load()
        found: list[object] = [service.collections.all()]
        for collection in service.collections.all():
            name = collection.name
            everything = service.collections.search(name, [Query("code", "00" * (collection.bits // 8))], EVERYTHING)
            ids = [match.id for match in everything.results[0]]
            found.append(everything)
            found += [service.collections.item(name, item_id) for item_id in ids[:50]]
            found.append(service.collections.search(name, [Query("id", ids[0]), Query("id", ids[-1])], Wanted(3)))
        return found


def _recoding_answers(database: Path) -> list[object]:
    """All that can be asked of what is kept beside items, of re-codings and of jobs."""
    with (
        # It looks at the mark, and at the newest rows.
        closing(Writer(database)),
        closing(RecodingReader(database)) as recodings,
        closing(Reader(database)) as reader,
    ):
        check(database)
        found: list[object] = [recodings.jobs(), recodings.unfinished()]
        found += [recodings.job(number) for number in range(5)]
        for collection in range(1, 6):
            pair = recodings.pair(collection)
            found.append(pair)
            if pair is not None:
                found.append(recodings.batch(pair, 100, 2**20))
        for row in reader.collections():
            found.append([reader.whole_item(row, f"item {n}") for n in range(8)])
        return found


def _make_recodings(database: Path) -> None:
    """Items with documents and features; a re-coding half done, one that is ready, and jobs in all states."""
    _small_pages(database)
    rng = np.random.default_rng(0)
    with closing(Writer(database)) as writer, closing(RecodingReader(database)) as reader:
        coding = RecodingWriter(writer)
        for name in ("a", "b"):
            row = writer.create_collection(
                name, CollectionSettings(16, "x@1", keep_features="int8", keep_documents=True)
            )
            assert row is not None
            writer.upsert(
                row.number,
                [
                    StoredItem(
                        f"item {n}", rng.bytes(2), b'{"n":%d}' % n, rng.bytes(8), b"t" + rng.bytes(12).hex().encode()
                    )
                    for n in range(6)
                ],
            )
            for turn, hasher in enumerate(("x@2", "x@3")):
                job = coding.begin(row.number, hasher, 16, name == "a")
                pair = reader.pair(row.number)
                assert pair is not None
                batch = reader.batch(pair, 3, 2**20)
                coded = {number: item._replace(code=rng.bytes(2)) for number, item in batch.items[:2]}
                coding.add(pair.recoding, coded, [ItemError("item 2", "expected another")], batch.position, 0.0)
                if turn == 0:
                    coding.stop(job.number, "failed", "Missing hasher: expected one")
        coding.sweep(reader.unfinished()[0])


def _make_deletions(database: Path) -> None:
    """Items of two collections, and deletions of some of them whose rows are there, or half of them."""
    _make(database, 20)
    with closing(Writer(database)) as writer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(deletions, "FEW", 0)
        patch.setattr(deletions, "BLOCK_ITEMS", 4)
        patch.setattr(deletions, "REMOVED_AT_ONCE", 2)
        writer.delete(1, [f"item {n}" for n in range(9)])
        writer.delete(2, [f"item {n}" for n in range(5, 11)])
        writer.remove_some(0.0)


def _small_pages(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")


def _make(database: Path, items: int) -> None:
    """Two collections, written and changed in several transactions, with pages so small that they take many."""
    _small_pages(database)
    rng = np.random.default_rng(0)
    with opened(database, Hashers(database.parent / "hashers")) as service:
        for name in ("a", "b"):
            service.collections.create(name, NewCollection(bits=BITS))
            numbers = range(items)
            for batch in (numbers, numbers[::3]):
                service.collections.upsert(
                    name,
                    [
                        Item(f"item {n}", "code", rng.bytes(BITS // 8).hex(), b'{"n":%d}' % n if n % 2 else None)
                        for n in batch
                    ],
                )
        service.collections.delete_items("a", ["item 1", "item 4"])


def _flips(content: bytes, places: Iterator[int] | range, mask: int = 0xFF) -> Iterator[tuple[int, bytes]]:
    for place in places:
        changed = bytearray(content)
        changed[place] ^= mask
        yield place, bytes(changed)


def _detected_or_harmless(
    database: Path, expected: list[object], where: str, answers: Callable[[Path], list[object]] = _answers
) -> bool:
    """True where the damage was detected; fails where the answers are others than they were."""
    try:
        found = answers(database)
    except DETECTED:
        return True
    except HammingwayError as error:
        raise AssertionError(f"{where}: the damage was taken for a mistake of the caller: {error}") from error
    assert found == expected, f"{where}: a wrong answer"
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For the damaged copies."""
    (tmp_path / "copy").mkdir()
    return tmp_path / "copy"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["items", "re-codings", "deletions"])
def test_every_byte_of_a_small_database(tmp_path: Path, folder: Path, long: bool, seed: int, kind: str) -> None:
    database = tmp_path / "hammingway.sqlite"
    if kind == "items":
        answers = _answers
        _make(database, 20)
    elif kind == "deletions":
        answers = _answers
        _make_deletions(database)
    else:
        answers = _recoding_answers
        _make_recodings(database)
    assert not database.with_name(f"{database.name}-wal").exists()
    # First: a deletion is finished by what looks at it.
    content = database.read_bytes()
    mark = database.with_name(f"{database.name}-mark").read_bytes()
    expected = answers(database)
    copy = folder / database.name
    step = {"items": 1, "re-codings": 5, "deletions": 15}[kind]
    every = long or step == 1
    for mask in (0xFF, 0x0C, 0x01, 0x80) if long else (0xFF,):
        detected = 0
        # A part of the larger ones, another one each time.
        places = range(0 if every else seed % step, len(content), 1 if every else step)
        for place, changed in _flips(content, places, mask):
            copy.write_bytes(changed)
            copy.with_name(f"{copy.name}-mark").write_bytes(mark)
            detected += _detected_or_harmless(copy, expected, f"byte {place} ^ {mask}", answers)
            for left in folder.iterdir():
                left.unlink()
        # What is not detected lies in parts of pages that hold nothing.
        print(f"{detected} of {len(places)} bytes flipped by {mask:#x} detected, the others harmless")
        assert detected > len(places) // 3


def test_a_payload_that_became_an_empty_one_is_noticed(tmp_path: Path) -> None:
    database = tmp_path / "hammingway.sqlite"
    _make(database, 4)
    with closing(sqlite3.connect(database)) as connection, connection:
        changed = connection.execute("UPDATE items SET payload = x'' WHERE collection = 1 AND id = 'item 2'")
        assert changed.rowcount == 1
    with pytest.raises(DamagedStoreError, match="item 2"):
        _answers(database)


@pytest.mark.parametrize("change", ["state = 'rueued'", "state = 'qveued'", "number = number + 100"])
def test_a_job_that_became_another_passes_neither_for_one_that_is_over_nor_for_none(
    tmp_path: Path, change: str
) -> None:
    database = tmp_path / "hammingway.sqlite"
    _make_recodings(database)
    with closing(RecodingReader(database)) as reader:
        job = reader.unfinished()[0].number
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(f"UPDATE jobs SET {change} WHERE number = ?", (job,))
        for read in (reader.unfinished, reader.jobs, lambda: reader.job(job)):
            with pytest.raises(DamagedStoreError, match="expected job"):
                read()


@pytest.mark.timeout(1200)
def test_every_byte_of_a_wal(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "hammingway.sqlite"
    _make(database, 4)
    beside = [database.with_name(f"{database.name}-{part}") for part in ("wal", "mark")]
    with closing(Writer(database)) as writer:
        writer.upsert(1, [StoredItem("item 2", b"ab"), StoredItem("new", b"cd", b'{"n":3}')])
        writer.upsert(2, [StoredItem("other", b"ef")])
        writer.delete(1, ["item 3"])
        # As a killed process leaves them.
        files = {path.name: path.read_bytes() for path in (database, *beside)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    expected = _answers(folder / database.name)
    wal = files[beside[0].name]
    detected = 0
    for place, changed in _flips(wal, range(len(wal))):
        shutil.rmtree(folder)
        folder.mkdir()
        for name, content in (files | {beside[0].name: changed}).items():
            (folder / name).write_bytes(content)
        detected += _detected_or_harmless(folder / database.name, expected, f"byte {place} of the WAL")
    print(f"{detected} of {len(wal)} flipped bytes of the WAL detected, the others harmless")
    assert detected > len(wal) // 2


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, list[object]]:
    """A database of many items, and all answers; whoever damages it mends it."""
    items = 1_000_000 if request.config.getoption("--long") else 50_000
    database = tmp_path_factory.mktemp("large") / "hammingway.sqlite"
    rng = np.random.default_rng(0)
    with closing(Writer(database)) as writer:
        collection = writer.create_collection("c", CollectionSettings(128))
        assert collection is not None
        for start in range(0, items, 1000):
            writer.upsert(collection.number, [StoredItem(str(n), rng.bytes(16)) for n in range(start, start + 1000)])
    return database, _answers(database)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """1,000 flips of the large database take 40 minutes of a core: in parts, each of which can be run by itself."""
    if "part" in metafunc.fixturenames:
        metafunc.parametrize("part", range(LARGE_PARTS if metafunc.config.getoption("--long") else 1))


@pytest.mark.timeout(1800)
def test_random_bytes_of_a_large_database(large: tuple[Path, list[object]], long: bool, seed: int, part: int) -> None:
    (database, expected), flips = large, FLIPS_EACH if long else FLIPS
    places = np.random.default_rng([seed, part]).integers(0, database.stat().st_size, flips).tolist()
    detected = 0
    with database.open("r+b", buffering=0) as file:
        for place in places:
            file.seek(place)
            was = file.read(1)
            try:
                file.seek(place)
                file.write(bytes([was[0] ^ 0xFF]))
                detected += _detected_or_harmless(database, expected, f"byte {place}")
            finally:
                file.seek(place)
                file.write(was)
    print(f"{detected} of {flips} flipped bytes of {database.stat().st_size} detected, the others harmless")
    assert detected > flips // 2


def test_damage_to_a_running_service_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    database = tmp_path / "hammingway.sqlite"
    code, payload = "89abcdef", b'{"price":1234567}'
    with opened(database, Hashers(tmp_path)) as service:
        service.collections.create("c", NewCollection(bits=32))
        service.collections.upsert("c", [Item("a", "code", "01234567"), Item("b", "code", code, payload)])
    content = database.read_bytes()
    for found in (bytes.fromhex(code), payload):
        with opened(database, Hashers(tmp_path)) as service:
            service.load()
            assert content.count(found) == 1
            database.write_bytes(content.replace(found, found[:-1] + bytes([found[-1] ^ 1])))
            with pytest.raises(DamagedStoreError, match="item b'b'"):
                service.collections.item("c", "b")
            with pytest.raises(DamagedStoreError, match="item b'b'"):
                service.collections.search("c", [Query("code", code)], Wanted(1))
            # What is not damaged goes on.
            assert service.collections.search("c", [Query("code", "01234567")], Wanted(1)).results[0][0].id == "a"
        database.write_bytes(content)


def test_a_database_that_lost_its_last_writes_is_told_of_as_that(tmp_path: Path) -> None:
    database = Settings(data=tmp_path).database
    with opened(database, Hashers(tmp_path)) as service:
        service.collections.create("c", NewCollection(bits=32))
    before = database.read_bytes()
    with opened(database, Hashers(tmp_path)) as service:
        service.collections.upsert("c", [Item("a", "code", "01234567")])
    database.write_bytes(before)
    command = [sys.executable, "-m", "service", "--data", str(tmp_path), "--hashers", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: expected {database} to have committed ")
    assert done.stderr.count("\n") == 1


def test_the_service_refuses_to_answer_from_a_damaged_database(tmp_path: Path) -> None:
    """Over HTTP: not ready, and every request a problem detail that says why."""
    settings = Settings(data=tmp_path, hashers=tmp_path / "hashers")
    with opened(settings.database, Hashers(tmp_path)) as service:
        service.collections.create("c", NewCollection(bits=32))
        service.collections.upsert("c", [Item("a", "code", "01234567"), Item("b", "code", "89abcdef")])
    content = settings.database.read_bytes()
    settings.database.write_bytes(content.replace(bytes.fromhex("89abcdef"), bytes.fromhex("89abcdee")))
    with running(settings, 500) as client:
        reply = client.get("/readyz")
        for answer in (reply, client.post("/v1/collections/c/search", json={"query": {"id": "a"}})):
            assert (answer.status_code, answer.json()["title"]) == (500, "Damaged store")
            assert "item b'b'" in answer.json()["detail"]
        assert client.get("/livez").is_success

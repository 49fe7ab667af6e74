"""Snapshots taken while writers write, restored into a fresh folder: the same answers, and no damage unnoticed."""

import errno
import fcntl
import hashlib
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

import service.store.snapshots
from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.items import Item, Query, Wanted
from service.opening import opened
from service.store.errors import DamagedStoreError, StorageFullError
from service.store.snapshots import restore, take
from tests.faults.conftest import Start
from tests.serving import client_of

BATCH = 10


def _restore(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.snapshot", "restore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def _all(client: httpx.Client, name: str) -> list[tuple[str, dict[str, int], int]]:
    body = {"query": {"code": "00000000"}, "limit": 10_000, "max_distance": 32}
    found = client.post(f"/v1/collections/{name}/search", json=body).json()["results"]
    return [(match["id"], match["payload"], match["distance"]) for match in found]


def test_a_snapshot_while_writing_is_of_one_moment_and_comes_back_the_same(start: Start, tmp_path: Path) -> None:
    service = start(tmp_path / "data")
    service.client.put("/v1/collections/c", json={"bits": 32})
    stop = threading.Event()
    written = 0

    def write() -> None:
        # Every batch replaces the same ids: a snapshot must hold all of one batch, none of another.
        nonlocal written
        with client_of(service.url) as client:
            while not stop.is_set():
                items = [
                    {"id": f"i{n}", "code": f"{written * BATCH + n:08x}", "payload": {"round": written}}
                    for n in range(BATCH)
                ]
                items.append({"id": f"more {written}", "code": f"{written:08x}", "payload": {"round": written}})
                assert client.post("/v1/collections/c/index", json={"items": items}).is_success
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    taken = []
    try:
        while not written:
            time.sleep(0.01)
        for _ in range(3):
            before = written
            reply = service.client.post("/v1/collections/c/snapshots")
            assert reply.status_code == 201, reply.text
            taken.append((before, reply.json(), written))
    finally:
        stop.set()
        writer.join()
    for number, (before, told, after) in enumerate(taken):
        file = tmp_path / "data" / "snapshots" / told["snapshot"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == told["sha256"]
        assert file.with_name(f"{file.name}.sha256").read_text() == f"{told['sha256']}  {file.name}\n"
        assert told["bytes"] == file.stat().st_size
        done = _restore(file, "--data", tmp_path / f"fresh{number}")
        assert done.returncode == 0, done.stderr
        fresh = start(tmp_path / f"fresh{number}")
        found = {item_id: (payload["round"], near) for item_id, payload, near in _all(fresh.client, "c")}
        assert len(found) == told["items"] == fresh.client.get("/v1/collections/c").json()["count"]
        rounds = {found[f"i{n}"][0] for n in range(BATCH)}
        (last,) = rounds
        assert before - 1 <= last <= after
        assert {f"more {n}" for n in range(last + 1)} == {name for name in found if name.startswith("more")}
        assert all(found[f"i{n}"][1] == (last * BATCH + n).bit_count() for n in range(BATCH))
        fresh.stop()
    left = sorted(path.name for path in (tmp_path / "data" / "snapshots").iterdir())
    assert len(left) == 2 * len(taken), left


def test_a_restored_collection_is_whole_in_every_part(hashers: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    database = tmp_path / "data" / "hammingway.sqlite"
    database.parent.mkdir()
    everything = Wanted(limit=1000, rank="rescored", candidates=1000)
    vectors = rng.standard_normal((300, 12)).astype(np.float32)
    queries = [Query("vector", vector.tolist()) for vector in rng.standard_normal((5, 12)).astype(np.float32)]
    with opened(database, Hashers(hashers)) as service:
        service.collections.create("v", NewCollection(hasher="vectors", keep_features="int8"))
        items = [Item(f"é{n}", "vector", v.tolist(), b'{"n":%d}' % n) for n, v in enumerate(vectors)]
        service.collections.upsert("v", items)
        service.collections.delete_items("v", ["é7"])
        expected = service.collections.search("v", queries, everything)
        taken = take(database, "v", tmp_path / "snapshots")
    assert taken.items == 299
    other = tmp_path / "other.sqlite"
    assert restore(tmp_path / "snapshots" / taken.name, other, "w") == ("w", 299)
    with opened(other, Hashers(hashers)) as service:
        service.load()
        assert service.collections.search("w", queries, everything) == expected
        (described,) = service.collections.all()
    assert (described.hasher, described.keep_features, described.count) == ("vectors@1", "int8", 299)


def test_a_taken_name_leaves_everything_as_it_was_and_another_name_helps(start: Start, tmp_path: Path) -> None:
    service = start(tmp_path / "data")
    service.client.put("/v1/collections/c", json={"bits": 32})
    items = [{"id": "a", "code": "00000001"}, {"id": "b", "code": "00000003"}]
    service.client.post("/v1/collections/c/index", json={"items": items})
    told = service.client.post("/v1/collections/c/snapshots").json()
    file = tmp_path / "data" / "snapshots" / told["snapshot"]
    service.client.post("/v1/collections/c/delete", json={"ids": ["a"]})
    refused = _restore(file, "--data", tmp_path / "data")
    assert refused.returncode == 1
    assert "expected a name that no collection" in refused.stderr
    assert [item_id for item_id, *_ in _all(service.client, "c")] == ["b"]
    # Into the folder of a running service, which sees it at its next search.
    assert _restore(file, "--data", tmp_path / "data", "--collection", "d").returncode == 0
    assert [item_id for item_id, *_ in _all(service.client, "d")] == ["a", "b"]
    assert service.client.post("/v1/collections/missing/snapshots").status_code == 404
    assert _restore(file, "--data", tmp_path / "data", "--collection", "../e").returncode == 1


@pytest.mark.parametrize("what", ["snapshot", "sum", "missing sum"])
def test_a_damaged_snapshot_is_refused_and_nothing_made(start: Start, tmp_path: Path, what: str) -> None:
    service = start(tmp_path / "data")
    service.client.put("/v1/collections/c", json={"bits": 32})
    service.client.post("/v1/collections/c/index", json={"items": [{"id": "a", "code": "00000001"}]})
    told = service.client.post("/v1/collections/c/snapshots").json()
    file = tmp_path / "data" / "snapshots" / told["snapshot"]
    beside = file.with_name(f"{file.name}.sha256")
    if what == "missing sum":
        beside.unlink()
    else:
        damaged = file if what == "snapshot" else beside
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2 if what == "snapshot" else 0] ^= 1
        damaged.write_bytes(content)
    refused = _restore(file, "--data", tmp_path / "fresh")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: expected")
    assert not (tmp_path / "fresh" / "hammingway.sqlite").exists()


def test_a_snapshot_of_damaged_rows_is_not_made(tmp_path: Path) -> None:
    database = tmp_path / "hammingway.sqlite"
    with opened(database, Hashers(tmp_path)) as service:
        service.collections.create("c", NewCollection(bits=32))
        service.collections.upsert("c", [Item("a", "code", "01234567"), Item("b", "code", "89abcdef")])
    content = database.read_bytes()
    assert content.count(bytes.fromhex("89abcdef")) == 1
    database.write_bytes(content.replace(bytes.fromhex("89abcdef"), bytes.fromhex("89abcdee")))
    with pytest.raises(DamagedStoreError, match="item b'b'"):
        take(database, "c", tmp_path / "snapshots")
    assert list((tmp_path / "snapshots").iterdir()) == []


def _make(folder: Path) -> Path:
    """A database with two items in the collection `c`, and a snapshot of it in `folder / "snapshots"`."""
    database = folder / "hammingway.sqlite"
    with opened(database, Hashers(folder)) as service_opened:
        service_opened.collections.create("c", NewCollection(bits=32))
        service_opened.collections.upsert("c", [Item("a", "code", "01234567"), Item("b", "code", "89abcdef")])
    return folder / "snapshots" / take(database, "c", folder / "snapshots").name


def test_what_lies_beside_a_snapshot_is_no_part_of_it_and_nothing_is_written_there(tmp_path: Path) -> None:
    file = _make(tmp_path)
    # A WAL that fits it, and holds that an item is deleted, as of somebody who has looked into a copy.
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(file.read_bytes())
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("DELETE FROM items WHERE id = 'a'")
        assert copy.read_bytes() == file.read_bytes()
        file.with_name(f"{file.name}-wal").write_bytes(copy.with_name(f"{copy.name}-wal").read_bytes())
    before = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    touched = file.parent.stat().st_mtime_ns
    assert restore(file, tmp_path / "other.sqlite") == ("c", 2)
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == before
    # Nor made and removed again, which would take a folder that can be written to.
    assert file.parent.stat().st_mtime_ns == touched


def test_a_folder_that_takes_no_snapshot_is_told_and_nothing_is_left(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = start(tmp_path / "data")
    serving.client.put("/v1/collections/c", json={"bits": 32})
    (tmp_path / "data" / "snapshots").write_text("a file")
    reply = serving.client.post("/v1/collections/c/snapshots")
    assert (reply.status_code, reply.json()["title"]) == (500, "Storage failure")
    assert reply.json()["detail"].startswith("expected a folder")

    def half(path: Path, text: str) -> None:
        path.write_text(text[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(service.store.snapshots, "_write_whole", half)
    with pytest.raises(StorageFullError, match="expected room for a snapshot"):
        take(tmp_path / "data" / "hammingway.sqlite", "c", tmp_path / "others")
    assert list((tmp_path / "others").iterdir()) == []


def test_what_a_killed_snapshot_left_is_swept(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "snapshots"
    serving = start(tmp_path / "data")
    serving.client.put("/v1/collections/c", json={"bits": 32}).raise_for_status()
    whole = serving.client.post("/v1/collections/c/snapshots").json()["snapshot"]
    serving.kill()
    kept = sorted([whole, f"{whole}.sha256", "notes.new", "c.sqlite"])
    for name in kept:
        (folder / name).touch()

    def leave() -> None:
        for end in (".new", ".new-wal", ".new-shm", ".new-mark"):
            (folder / f"c-20260102T030405Z-0a1b2c3d.sqlite{end}").touch()

    leave()
    serving = start(tmp_path / "data")
    assert sorted(path.name for path in folder.iterdir()) == kept
    leave()
    # While a snapshot is being taken, by whatever process, its files are nobody else's.
    with service.store.snapshots._locked(folder, fcntl.LOCK_SH):
        other = serving.client.post("/v1/collections/c/snapshots").json()["snapshot"]
        assert len(list(folder.glob("*.sqlite.new*"))) == 4
    last = serving.client.post("/v1/collections/c/snapshots").json()["snapshot"]
    made = [name for each in (other, last) for name in (each, f"{each}.sha256")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept + made)

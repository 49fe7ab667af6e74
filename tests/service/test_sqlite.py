import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.sqlite import Store, StoredItem


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "hammingway.sqlite")
    yield opened
    opened.close()


def test_upsert_replaces_and_delete_counts(store: Store) -> None:
    row = store.create_collection("shoes", 8, None)
    assert row is not None
    store.upsert(row.number, [StoredItem("a", b"\x01"), StoredItem("b", b"\x02", b"{}")])
    store.upsert(row.number, [StoredItem("a", b"\x03", b'{"n":1}')])
    assert store.item(row.number, "a") == StoredItem("a", b"\x03", b'{"n":1}')
    assert store.delete(row.number, ["a", "missing"]) == 1
    assert store.item(row.number, "a") is None
    assert store.item(row.number, "b") == StoredItem("b", b"\x02", b"{}")


def test_a_batch_that_fails_changes_nothing(store: Store) -> None:
    row = store.create_collection("shoes", 8, None)
    assert row is not None
    store.upsert(row.number, [StoredItem("a", b"\x01")])
    with pytest.raises(sqlite3.IntegrityError):
        store.upsert(row.number, [StoredItem("a", b"\x02"), StoredItem("b", b"\x02"), StoredItem("b", b"\x03")])
    assert store.item(row.number, "a") == StoredItem("a", b"\x01")
    assert store.item(row.number, "b") is None


def test_a_taken_name_is_told(store: Store) -> None:
    assert store.create_collection("shoes", 8, None) is not None
    assert store.create_collection("shoes", 16, None) is None
    found = store.collection("shoes")
    assert found is not None
    assert found.bits == 8


WRITER = """
import sys
from pathlib import Path
from service.store.sqlite import Store, StoredItem
store = Store(Path(sys.argv[1]))
number = store.create_collection("c", 8, None).number
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
    store = Store(path)
    row = store.collection("c")
    assert row is not None
    last = acknowledged[-1]
    for n in range(last + 1):
        assert all(store.item(row.number, f"{n}-{i}") for i in range(3))
    present = [store.item(row.number, f"{last + 1}-{i}") is not None for i in range(3)]
    assert present in ([True] * 3, [False] * 3)
    store.close()

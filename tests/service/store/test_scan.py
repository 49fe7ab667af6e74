"""A filter evaluated in slices finds what one look would, whatever the slices are and whatever is written meanwhile."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.filters import parse_filter
from service.store import scan as scanning
from service.store.errors import DamagedStoreError
from service.store.reader import Reader
from service.store.scan import Scan
from service.store.schema import CollectionSettings, StoredItem
from service.store.writer import Writer

ODD = parse_filter({"odd": True})


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """Of a database with two collections, written by turns; the second has few items."""
    with closing(Writer(tmp_path / "d.sqlite")) as made:
        for name in ("many", "few"):
            made.create_collection(name, CollectionSettings(8))
        for batch in range(20):
            made.upsert(1, [item(n) for n in range(batch * 100, batch * 100 + 100)])
            made.upsert(2, [item(batch)])
        yield made


@pytest.fixture
def reader(writer: Writer, tmp_path: Path) -> Iterator[Reader]:
    """Of the same database."""
    with closing(Reader(tmp_path / "d.sqlite")) as made:
        yield made


def item(number: int, more: str = "") -> StoredItem:
    return StoredItem(
        f"i{number:05}", b"x", b'{"odd":%s,"more":"%s"}' % (str(number % 2 == 1).lower().encode(), more.encode())
    )


def found(reader: Reader, scan: Scan) -> list[str]:
    return sorted(each.id for each in reader.by_sequence(scan.found().tolist()).values())


@pytest.mark.parametrize("by_ids", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 10.0])
@pytest.mark.parametrize("collection", [1, 2])
def test_it_finds_all_and_what_is_written_meanwhile(
    writer: Writer, reader: Reader, by_ids: bool, seconds: float, collection: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "FIRST_SPAN", 7)
    monkeypatch.setattr(scanning, "LONGEST_SPAN", 50)
    monkeypatch.setattr(scanning, "SHORTEST_SPAN", 1)
    scan = Scan(collection, ODD, by_ids=by_ids)
    items = 2000 if collection == 1 else 20
    ids = {f"i{n:05}" for n in range(1, items, 2)}
    steps = 0
    while not scan.step(reader, seconds):
        steps += 1
        if steps == 3:
            # One that was not looked at is gone, one that was let through is no more, others are written anew, or new.
            writer.delete(collection, ["i00019"])
            writer.upsert(collection, [item(1)._replace(payload=b"{}"), item(3), item(5), item(items + 1)])
            ids = ids - {"i00019", "i00001"} | {f"i{items + 1:05}"}
        assert steps < 5000
    if seconds == 0.0:
        assert steps >= 3
    assert found(reader, scan) == sorted(ids)
    assert len(set(scan.found().tolist())) == len(scan.found()) == scan.count
    assert scan.highest == reader.highest()
    # It goes on from there.
    writer.upsert(collection, [item(9001), item(9002)])
    while not scan.step(reader, seconds):
        pass
    assert found(reader, scan) == sorted(ids | {"i09001"})


def test_a_slice_that_takes_too_long_is_broken_off_and_made_smaller(writer: Writer, reader: Reader) -> None:
    # Small ones first, so that a slice is of many by the time that the long ones come.
    writer.upsert(1, [item(n, "x" * 10_000) for n in range(3001, 3121, 2)])
    condition = parse_filter({"or": [*({"more": f"{n}"} for n in range(150)), {"odd": True}]})
    scan = Scan(1, condition)
    slices, spans = [], []
    while True:
        before = scan.highest
        done = scan.step(reader, 0.02)
        slices.append(scan.highest - before)
        spans.append(scan._span)
        if done:
            break
    assert len(found(reader, scan)) == 1000 + 60
    assert max(slices[:3]) > 4 * max(slices[-3:-1])


def test_what_each_statement_takes_by_itself_does_not_make_all_of_them_small(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    between, calls = Reader.matching_between, []

    def slow(reader: Reader, *given: Any) -> Any:
        calls.append(given)
        begun = time.thread_time()
        while time.thread_time() < begun + 0.03:
            pass
        return between(reader, *given)

    monkeypatch.setattr(Reader, "matching_between", slow)
    scan = Scan(1, ODD)
    while not scan.step(reader):
        pass
    assert len(found(reader, scan)) == 1000
    assert len(calls) <= 2 + 2020 / scanning.SHORTEST_SPAN


@pytest.mark.parametrize("share", [1, 2, 40, 400])
def test_what_was_found_is_kept_in_little(share: int) -> None:
    numbers = np.arange(10**9, 10**9 + 60_000, share, np.int64)
    base, kept = scanning._packed(numbers, 10**9 - 5)
    assert scanning._unpacked(base, kept).tolist() == numbers.tolist()
    assert kept.nbytes <= min(4 * len(numbers), 60_000 / 8 + 2)


@pytest.mark.parametrize("by_ids", [False, True])
def test_damage_is_noticed_where_that_is_asked_for(writer: Writer, reader: Reader, by_ids: bool) -> None:
    with writer.writing() as connection:
        connection.execute("UPDATE items SET code = x'00' WHERE collection = 1 AND id = 'i00007'")
        connection.execute("INSERT INTO removals (collection, sequence) VALUES (1, 0)")
    assert Scan(1, ODD, by_ids=by_ids).step(reader, 10)
    with pytest.raises(DamagedStoreError, match="i00007"):
        Scan(1, ODD, by_ids=by_ids, verified=True).step(reader, 10)

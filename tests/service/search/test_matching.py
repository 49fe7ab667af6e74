import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from service import opening
from service.coding.hashers import Hashers
from service.collections.collections import Collections, NewCollection
from service.errors import TakesLongError
from service.filters import parse_filter
from service.items import Item, Match, Query, Wanted
from service.opening import opened
from service.search import matching
from service.store.reader import Reader

DEAREST = Wanted(2, filter=parse_filter({"price": {"gte": 90}}))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Collections]:
    """A collection `shop` of 100 items, the dearest of which are not among the nearest to 0."""
    with opened(tmp_path / "store.db", Hashers(tmp_path)) as parts:
        parts.collections.create("shop", NewCollection(bits=8))
        parts.collections.upsert("shop", [item(number) for number in range(100)])
        yield parts.collections


def item(number: int) -> Item:
    return Item(f"i{number:03}", "code", f"{number:02x}", b'{"price":%d}' % number)


def found(collections: Collections, code: str, wanted: Wanted = DEAREST) -> list[list[Match]]:
    return collections.search("shop", [Query("code", code)], wanted).results


def match(number: int, distance: int) -> Match:
    return Match(f"i{number:03}", distance, b'{"price":%d}' % number)


@pytest.mark.parametrize("asked_before", [True, False])
def test_the_item_that_came_last_may_be_deleted(shop: Collections, asked_before: bool) -> None:
    if asked_before:
        assert found(shop, "00") == [[match(96, 2), match(97, 3)]]
    else:
        # The index has its row.
        assert shop.get("shop").count == 100
    for gone, nearest in ((99, [match(96, 2), match(97, 3)]), (96, [match(97, 3), match(98, 3)])):
        assert shop.delete_items("shop", [f"i{gone:03}"]) == 1
        assert found(shop, "00") == [nearest]
    shop.upsert("shop", [item(96)])
    assert found(shop, "00") == [[match(96, 2), match(97, 3)]]


def test_what_is_written_anew_without_end_is_not_kept_without_end(shop: Collections) -> None:
    dear, taken = [item(number) for number in range(90, 100)], []
    kept_by_filters = tracemalloc.Filter(True, matching.__file__)
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(300):
                shop.upsert("shop", dear)
                assert found(shop, "00") == [[match(96, 2), match(97, 3)]]
            traces = tracemalloc.take_snapshot().filter_traces([kept_by_filters]).traces
            taken.append(sum(trace.size for trace in traces))
    finally:
        tracemalloc.stop()
    # Of the 8 bytes of each number, 3,000 in each half, those of 1,046 are kept at most.
    assert all(0 < size < 10_000 for size in taken), taken


def test_who_is_in_a_hurry_does_not_read_many(shop: Collections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "READ_AT_ONCE", 50)
    hurried = replace(DEAREST, hurried=True)
    nearest = [[match(96, 2), match(97, 3)]]
    for _ in range(2):
        with pytest.raises(TakesLongError):
            found(shop, "00", hurried)
    # What the nearest few tell takes nothing more.
    assert found(shop, "60", hurried) == [[match(96, 0), match(97, 1)]]
    assert found(shop, "00") == nearest
    assert found(shop, "00", hurried) == nearest
    shop.upsert("shop", [item(number) for number in range(50)])
    assert found(shop, "00", hurried) == nearest
    # Not read since, and as many as if the filter were new.
    shop.upsert("shop", [item(number) for number in range(51)])
    with pytest.raises(TakesLongError):
        found(shop, "00", hurried)
    assert found(shop, "00") == nearest
    assert found(shop, "00", hurried) == nearest


def test_a_filter_that_is_known_does_not_wait_for_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "READ_AT_ONCE", 50)
    readers = []

    def made(*given: Reader) -> matching.Matching:
        readers.extend(given)
        return matching.Matching(*given)

    monkeypatch.setattr(opening, "Matching", made)
    with opened(tmp_path / "store.db", Hashers(tmp_path)) as parts, ThreadPoolExecutor(2) as threads:
        parts.collections.create("shop", NewCollection(bits=8))
        parts.collections.upsert("shop", [item(number) for number in range(100)])
        assert found(parts.collections, "00") == [[match(96, 2), match(97, 3)]]
        with readers[1]._reading():
            other = replace(DEAREST, filter=parse_filter({"price": {"gte": 95}}))
            reading = threads.submit(found, parts.collections, "00", other)
            known = threads.submit(found, parts.collections, "00", replace(DEAREST, hurried=True))
            assert known.result(10) == [[match(96, 2), match(97, 3)]]
            parts.collections.upsert("shop", [item(90)])
            assert threads.submit(found, parts.collections, "00").result(10) == [[match(96, 2), match(97, 3)]]
            assert not reading.done()
        assert reading.result(10) == [[match(96, 2), match(97, 3)]]


def test_of_few_among_many_of_others_only_they_are_read(shop: Collections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "READ_AT_ONCE", 50)
    monkeypatch.setattr(matching, "PASSED_OVER", 5)
    shop.create("stall", NewCollection(bits=8))
    # As many came before as would take long to read; those that are let through are not among the nearest.
    shop.upsert("stall", [item(number) for number in (1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 32, 64)])
    wanted = Wanted(2, filter=parse_filter({"price": {"in": [7, 15, 31]}}), hurried=True)
    search = partial(shop.search, "stall", [Query("code", "00")], wanted)
    assert search().results == [[match(7, 3), match(15, 4)]]
    # And as many since it was read first.
    shop.upsert("shop", [item(number) for number in range(100)])
    shop.upsert("stall", [item(31)])
    shop.delete_items("stall", ["i007"])
    assert search().results == [[match(15, 4), match(31, 5)]]

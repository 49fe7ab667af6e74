"""What a page costs in SQLite's own steps, and what it says of a damaged row."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.filters import parse_filter
from service.store import pages as pages_module
from service.store.connection import connect, transaction
from service.store.errors import DamagedStoreError
from service.store.pages import Asked, Page, read_page
from service.store.schema import CollectionSettings, StoredItem
from service.store.writer import Writer

FEW, MANY = 300, 60_000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collection 1 holds 300 items, collection 2 holds 60,000, their numbers in no order."""
    path = tmp_path_factory.mktemp("pages") / "hammingway.sqlite"
    with closing(Writer(path)) as writer:
        for number, size in (("few", FEW), ("many", MANY)):
            row = writer.create_collection(number, CollectionSettings(8))
            assert row is not None
            writer.upsert(row.number, [item(n * 7919 % size) for n in range(size)])
    return path


def item(number: int) -> StoredItem:
    return StoredItem(f"{number:05}", b"\x01", b'{"n":%d}' % number)


@pytest.fixture
def connection(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(database)) as opened:
        yield opened


def steps(connection: sqlite3.Connection, call: Callable[[], Page]) -> tuple[Page, int]:
    """What a call gives, and how many instructions SQLite took."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection.set_progress_handler(count, 1)
    page = call()
    connection.set_progress_handler(None, 1)
    return page, taken


@pytest.mark.parametrize("after", ["", "00150"])
def test_a_page_costs_the_same_however_many_items_there_are(connection: sqlite3.Connection, after: str) -> None:
    costs = []
    for collection in (1, 2):
        page, cost = steps(connection, lambda number=collection: read_page(connection, number, Asked(50, after)))  # type: ignore[misc]
        first = int(after or -1) + 1
        assert page == Page([item(number) for number in range(first, first + 50)], f"{first + 49:05}")
        costs.append(cost)
    assert max(costs) < 1.1 * min(costs)


def test_a_page_of_a_rare_filter_looks_at_ten_thousand_items(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "MOST_SECONDS", 60.0)
    condition = parse_filter({"n": 25_000})
    after, pages = "", []
    while True:
        page, cost = steps(connection, lambda start=after: read_page(connection, 2, Asked(5, start, condition)))  # type: ignore[misc]
        assert cost < 10_000 * 60
        pages.append(page)
        if page.last is None:
            break
        after = page.last
    assert [page.last for page in pages] == ["09999", "19999", "29999", "39999", "49999", None]
    assert [page.items for page in pages] == [[], [], [item(25_000)], [], [], []]


def test_a_page_of_a_filter_that_takes_long_goes_on_where_it_stopped(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "MOST_SECONDS", 0.0)
    condition = parse_filter({"n": {"in": [0, 2]}})
    first, second = (read_page(connection, 2, Asked(5, after, condition)) for after in ("", "00000"))
    assert (first.items, first.last) == ([item(0)], "00000")
    assert (second.items, second.last) == ([], "00001")
    # Without a filter a page is whole.
    assert len(read_page(connection, 2, Asked(500, "")).items) == 500


def test_a_damaged_item_is_not_given(database: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied.sqlite"
    with closing(connect(database)) as source, closing(sqlite3.connect(copied)) as target:
        source.backup(target)
        target.execute("UPDATE items SET payload = x'7b7d' WHERE collection = 1 AND id = '00007'")
        target.commit()
    with closing(connect(copied)) as connection, transaction(connection, "DEFERRED"):
        assert [item.id for item in read_page(connection, 1, Asked(7)).items][-1] == "00006"
        with pytest.raises(DamagedStoreError, match="expected item b'00007' as it was written"):
            read_page(connection, 1, Asked(8))

"""Deletes of many items at once: all or none of them, for every reader at every moment, while others write.

The rows of deleted items are removed after the reply. So each way to read is tried while these rows are still there, or
half of them, in this process and in another one, and after a kill.
"""

import itertools
import os
import secrets
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.errors import UnknownItemError
from service.filters import parse_filter
from service.items import Item, Query, Wanted
from service.opening import Opened, opened
from service.store import deletions, remover
from service.store.pages import FIRST
from service.store.schema import CollectionSettings, StoredItem
from service.store.snapshots import restore, take
from service.store.writer import Writer
from tests.faults.conftest import Start
from tests.serving import client_of

ITEMS = 6000
GONE = {"n": {"lt": 4000}}
CODES = np.random.default_rng(0).integers(0, 256, (ITEMS, 8), np.uint8)
QUERY = "00" * 8
EVERYTHING = Wanted(limit=10_000)


def name(number: int) -> str:
    return f"i{number:06}"


def item(number: int, more: str = "") -> Item:
    return Item(name(number), "code", CODES[number].tobytes().hex(), b'{"n":%d,"more":"%s"}' % (number, more.encode()))


def distance(number: int) -> int:
    return int(np.bitwise_count(CODES[number]).sum())


def require_only(service: Opened, there: dict[str, int], collection: str = "c") -> None:
    """Assert that each way to read the collection shows these items, by id and number, and no others."""
    read = service.collections
    assert read.get(collection).count == len(there)
    nearest = sorted((distance(number), item_id) for item_id, number in there.items())
    found = read.search(collection, [Query("code", QUERY)], EVERYTHING).results[0]
    assert [(match.distance, match.id) for match in found] == nearest
    # New each time, so that its answer is not kept.
    condition = parse_filter({"n": {"gte": -secrets.randbelow(2**40)}})
    found = read.search(collection, [Query("code", QUERY)], Wanted(limit=10_000, filter=condition)).results[0]
    assert [match.id for match in found] == [item_id for _, item_id in nearest]
    for chosen in (None, condition):
        walked: list[str] = []
        after: str | None = FIRST
        while after is not None:
            _, shown, after = read.page(collection, 500, after, chosen)
            assert chosen or len(shown) == 500 or after is None
            walked += [each.id for each in shown]
        assert walked == sorted(there)
    everything = service.duplicates.find(collection, 0, lambda: None, lambda done, total: None)
    assert [everything.ids[place] for place in range(len(everything.ids))] == sorted(there)
    for number in (0, 1, ITEMS // 3, 3999, 4000, ITEMS - 1):
        if name(number) in there:
            assert read.item(collection, name(number)).id == name(number)
        else:
            for look in (read.item, read.shown):
                with pytest.raises(UnknownItemError):
                    look(collection, name(number))
            with pytest.raises(UnknownItemError):
                read.search(collection, [Query("id", name(number))], EVERYTHING)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread removes rows: the tests do."""
    monkeypatch.setattr(remover.Remover, "start", lambda self: None)
    monkeypatch.setattr(remover.Remover, "finish", lambda self: None)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Of a collection of all items."""
    path = tmp_path / "data" / "hammingway.sqlite"
    path.parent.mkdir()
    with opened(path, Hashers(tmp_path)) as service:
        service.collections.create("c", NewCollection(bits=64))
        service.collections.upsert("c", [item(number) for number in range(ITEMS)])
    return path


def rows(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM items").fetchone()[0])


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("way", ["filter", "ids"])
def test_no_reader_sees_any_of_them_while_their_rows_are_there(database: Path, tmp_path: Path, way: str) -> None:
    there = {name(number): number for number in range(4000, ITEMS)}
    with ExitStack() as stack:
        first, other = (stack.enter_context(opened(database, Hashers(tmp_path))) for _ in range(2))
        writer = stack.enter_context(closing(Writer(database)))
        for service in (first, other):
            require_only(service, {name(number): number for number in range(ITEMS)})
        if way == "filter":
            assert first.collections.delete_matching("c", parse_filter(GONE)) == 4000
        else:
            assert first.collections.delete_items("c", [name(number) for number in range(4000)]) == 4000
        assert rows(database) == ITEMS
        require_only(first, there)
        # They are gone: who deletes them again finds none.
        assert other.collections.delete_matching("c", parse_filter(GONE)) == 0
        assert other.collections.delete_items("c", [name(1), name(2), name(5000)]) == 1
        del there[name(5000)]
        # Their ids are free, and what is written under one stays.
        for service, number in ((first, 10), (other, 3999)):
            service.collections.upsert("c", [item(number, "anew")])
            there[name(number)] = number
        seen = rows(database)
        for _ in range(3):
            assert writer.remove_some(0.0)
            assert rows(database) < seen
            seen = rows(database)
            late = stack.enter_context(opened(database, Hashers(tmp_path)))
            for service in (first, other, late):
                require_only(service, there)
        snapshot = take(database, "c", tmp_path / "snapshots")
        assert snapshot.items == len(there)
        assert restore(tmp_path / "snapshots" / snapshot.name, database, "back") == ("back", len(there))
        require_only(other, there, "back")
        # A second one, of items written meanwhile and others, before the first is done with.
        assert other.collections.delete_matching("c", parse_filter({"n": {"lt": 5500}})) == 1501
        there = {item_id: number for item_id, number in there.items() if number >= 5500}
        for service in (first, other):
            require_only(service, there)
        while writer.remove_some(0.002):
            pass
        for service in (first, other, stack.enter_context(opened(database, Hashers(tmp_path)))):
            require_only(service, there)
    with closing(sqlite3.connect(database)) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("deletions", "deleted_blocks")
        ]
        assert counts == [(0,), (0,)]
        (numbers,) = connection.execute("SELECT count(*) FROM items WHERE collection = 1").fetchone()
        assert numbers == len(there)


def test_what_a_process_left_is_finished_before_anything_is_answered(database: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remover.Remover, "start", lambda self: None)
        with opened(database, Hashers(tmp_path)) as service:
            service.load()
            assert service.collections.delete_matching("c", parse_filter(GONE)) == 4000
            assert rows(database) == ITEMS
    with opened(database, Hashers(tmp_path)) as service:
        service.load()
        assert rows(database) == ITEMS - 4000
        require_only(service, {name(number): number for number in range(4000, ITEMS)})


def test_another_process_that_lives_goes_on_with_what_one_left(database: Path, tmp_path: Path) -> None:
    with opened(database, Hashers(tmp_path)) as living:
        living.load()
        with closing(Writer(database)) as writer, writer.writing() as connection:
            # As by a process that is killed then.
            deletions.begin(connection, deletions.blocks_of({1: np.arange(1, 4001, dtype=np.int64)}))
        deadline = time.monotonic() + 20
        while rows(database) > ITEMS - 4000:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        require_only(living, {name(number): number for number in range(4000, ITEMS)})


def test_writes_during_a_delete_come_before_or_after_all_of_it(database: Path, tmp_path: Path) -> None:
    """Items that match are written all the time. Each that is acknowledged before the delete began is gone.

    Each that was begun after the delete was acknowledged is there. Readers see all of the oldest items, or none.
    """
    stop = threading.Event()
    written: list[tuple[float, float, str]] = []
    seen: list[int] = []

    def write(service: Opened, writer: int) -> None:
        for turn in itertools.count():
            if stop.is_set():
                return
            number = 4000 + writer * 500 + turn % 500
            begun = time.monotonic()
            service.collections.upsert("c", [Item(name(number), "code", QUERY, b'{"n":1,"turn":%d}' % turn)])
            written.append((begun, time.monotonic(), f"{name(number)} {turn}"))

    def read(service: Opened) -> None:
        while not stop.is_set():
            shown = service.collections.page("c", 4000, FIRST, None)[1]
            seen.append(sum(each.id < name(4000) for each in shown))
            seen.append(
                sum(
                    each.id < name(4000)
                    for each in service.collections.search("c", [Query("code", QUERY)], EVERYTHING).results[0]
                )
            )

    with ExitStack() as stack:
        services = [stack.enter_context(opened(database, Hashers(tmp_path))) for _ in range(2)]
        for service in services:
            service.load()
        with ThreadPoolExecutor(6) as threads:
            works = [threads.submit(write, services[n % 2], n) for n in range(2)]
            works += [threads.submit(read, service) for service in services]
            time.sleep(0.3)
            began = time.monotonic()
            deleted = services[0].collections.delete_matching("c", parse_filter(GONE))
            ended = time.monotonic()
            time.sleep(0.5)
            stop.set()
            for work in works:
                work.result()
        assert deleted >= 4000
        assert set(seen) == {0, 4000}
        assert sorted(set(seen[-4:])) == [0]
        last: dict[str, tuple[float, float, str]] = {}
        for each in sorted(written):
            last[each[2].split()[0]] = each
        there = {}
        for shown in services[1].collections.page("c", 10_000, FIRST, None)[1]:
            there[shown.id] = shown.payload or b""
        for item_id, (begun, acknowledged, version) in last.items():
            turn = version.split()[1].encode()
            if acknowledged < began:
                assert item_id not in there
            elif begun > ended:
                assert there[item_id].endswith(b'"turn":%s}' % turn)
            else:
                assert item_id not in there or there[item_id].endswith(b'"turn":%s}' % turn)
        assert len(there) >= ITEMS - 5000


def served_numbers(client: httpx.Client) -> set[str]:
    """All ids by pages, which search and count have to agree with."""
    found: set[str] = set()
    cursor: dict[str, str] = {}
    while True:
        page = (
            client.get("/v1/collections/c/items", params={"limit": "10000", "with": [], **cursor})
            .raise_for_status()
            .json()
        )
        found |= {each["id"] for each in page["items"]}
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}
    assert client.get("/v1/collections/c").json()["count"] == len(found)
    body = {"query": {"code": QUERY}, "limit": 10_000, "filter": {"n": {"gte": 0}}, "with": []}
    results = client.post("/v1/collections/c/search", json=body).raise_for_status().json()["results"]
    assert len(results) == min(10_000, len(found))
    assert {each["id"] for each in results} <= found
    return found


def make(data: Path, items: int) -> None:
    """Items with a payload that all filters look at; written without the service, which takes longer."""
    rng = np.random.default_rng(1)
    with closing(Writer(data / "hammingway.sqlite")) as writer:
        row = writer.create_collection("c", CollectionSettings(64))
        assert row is not None
        for start in range(0, items, 20_000):
            numbers = range(start, min(items, start + 20_000))
            writer.upsert(row.number, [StoredItem(name(n), rng.bytes(8), b'{"n":%d}' % n) for n in numbers])


def random_kills(start: Start, data: Path, items: int, rounds: int, gone: int, longest: float) -> None:
    """Kill a service in the middle of a delete, again and again: all is deleted afterwards, or nothing."""
    full = {name(n) for n in range(items)}
    left = {name(n) for n in range(gone, items)}
    outcomes = set()
    with ThreadPoolExecutor(1) as threads:
        for turn in range(rounds):
            process = start(data, "--workers", "2") if turn % 2 else start(data)
            body = {"filter": {"n": {"lt": gone}}}
            asked = threads.submit(process.client.post, "/v1/collections/c/delete", json=body, timeout=600)
            time.sleep(longest * (turn + 1) / rounds)
            process.kill()
            acknowledged = asked.exception() is None and asked.result().json() == {"deleted": gone}
            began = time.monotonic()
            process = start(data)
            print(f"ready {time.monotonic() - began:.1f} s after the kill; acknowledged: {acknowledged}")
            found = served_numbers(process.client)
            assert found in (full, left), f"{len(found)} of {items} are there"
            assert found == left or not acknowledged
            assert rows(data / "hammingway.sqlite") == len(found)
            outcomes.add(len(found))
            process.kill()
            if found == left:
                for path in data.glob("*"):
                    path.unlink()
                make(data, items)
    print(f"items that were there after kills: {sorted(outcomes)}")


def test_a_kill_at_any_moment_leaves_all_or_nothing(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    make(data, 20_000)
    random_kills(start, data, 20_000, 4, 12_000, 0.4)


def test_a_kill_of_one_process_leaves_all_or_nothing_to_another(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    make(data, 20_000)
    one, other = start(data), start(data)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(one.client.post, "/v1/collections/c/delete", json={"filter": {"n": {"lt": 15_000}}})
        # Until it is hidden: then the rows are there still, or most of them.
        deadline = time.monotonic() + 30
        while other.client.get("/v1/collections/c").json()["count"] == 20_000:
            assert time.monotonic() < deadline
        os.kill(one.pid, signal.SIGKILL)
        asked.exception()
    for _ in range(5):
        assert served_numbers(other.client) == {name(n) for n in range(15_000, 20_000)}
    while rows(data / "hammingway.sqlite") > 5000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert served_numbers(other.client) == {name(n) for n in range(15_000, 20_000)}


def heavy(items: int, gone: int) -> dict[str, Any]:
    """120 conditions, of which only the last lets anything through."""
    return {"or": [*({"n": {"in": [items + n, -n - 1]}} for n in range(119)), {"n": {"lt": gone}}]}


class Writing:
    """Writers of a collection of their own, and how long each write took until it was acknowledged, in seconds."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self.stop = threading.Event()
        self.seconds: list[tuple[float, float]] = []

    def run(self, number: int) -> None:
        with client_of(self._urls[number % len(self._urls)], timeout=120) as client:
            for turn in itertools.count():
                if self.stop.is_set():
                    return
                body = {"items": [{"id": f"{number}-{turn % 100}", "code": "00"}]}
                began = time.monotonic()
                client.post("/v1/collections/other/index", json=body).raise_for_status()
                self.seconds.append((began, time.monotonic() - began))
                time.sleep(0.005)

    def told(self, since: float, until: float) -> str:
        taken = np.array([seconds for began, seconds in self.seconds if since <= began < until]) * 1000
        p50, p99 = np.percentile(taken, [50, 99])
        return f"{len(taken)} writes: median {p50:.1f} ms, p99 {p99:.1f} ms, longest {taken.max():.1f} ms"


def writers_during(
    start: Start, data: Path, do: Callable[[httpx.Client], None], before: float, more: float, processes: int = 2
) -> tuple[str, float]:
    """What writers of several processes saw while something was done in one, and `more` seconds after; p99 in ms.

    What they saw for `before` seconds before is printed.
    """
    services = [start(data) for _ in range(processes)]
    services[0].client.put("/v1/collections/other", json={"bits": 8}).raise_for_status()
    writing = Writing([service.url for service in services])
    with ThreadPoolExecutor(4) as threads:
        works = [threads.submit(writing.run, n) for n in range(2 * processes)]
        started = time.monotonic()
        time.sleep(before)
        began = time.monotonic()
        do(services[0].client)
        done = time.monotonic()
        deadline = done + more
        while rows_left(data) and time.monotonic() < deadline:
            time.sleep(0.1)
        over = time.monotonic()
        writing.stop.set()
        for work in works:
            work.result()
    for service in services:
        service.kill()
    print(f"before: {writing.told(started, began)}")
    told = f"answered after {done - began:.1f} s, rows removed after {over - began:.1f} s; {writing.told(began, over)}"
    taken = [seconds for at, seconds in writing.seconds if began <= at < over]
    return told, float(np.percentile(taken, 99)) * 1000


def rows_left(data: Path) -> bool:
    """Whether rows of deleted items, or of collections that are deleted, are still there."""
    with closing(sqlite3.connect(data / "hammingway.sqlite", timeout=30)) as connection:
        found = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM deletions), EXISTS (SELECT 1 FROM jobs WHERE state IN ('queued', 'running')"
            " AND CAST(content AS TEXT) ->> 'kind' = 'discard')"
        ).fetchone()
    return any(found)


DOINGS: dict[str, Callable[[int], Callable[[httpx.Client], None]]] = {
    "by filter": lambda items: (
        lambda client: require(
            client.post("/v1/collections/c/delete", json={"filter": heavy(items, items // 2)}, timeout=1200),
            {"deleted": items // 2},
        )
    ),
    "by ids": lambda items: (
        lambda client: require(
            client.post("/v1/collections/c/delete", json={"ids": [name(n) for n in range(10_000)]}), {"deleted": 10_000}
        )
    ),
    "collection": lambda items: lambda client: require(client.delete("/v1/collections/c"), None),
}


def require(reply: httpx.Response, told: dict[str, int] | None) -> None:
    assert reply.is_success, reply.text
    assert told is None or reply.json() == told


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("way", DOINGS)
def test_others_write_meanwhile(
    start: Start, tmp_path: Path, long: bool, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At length among 1,000,000 items; prints how long writes took before and meanwhile."""
    monkeypatch.setattr("tests.serving.READY_SECONDS", 300.0)
    items = 1_000_000 if long else 20_000
    data = tmp_path / "data"
    data.mkdir()
    make(data, items)
    told, p99 = writers_during(start, data, DOINGS[way](items), 10.0 if long else 1.0, 600)
    print(f"delete {way}, {items} items: {told}")
    # The bound is for a machine that does nothing else; others run tests beside this one.
    assert p99 < (100 if long else 1000)


@pytest.mark.timeout(1800)
def test_kills_in_the_middle_of_a_million(
    start: Start, tmp_path: Path, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not long:
        pytest.skip("takes minutes: --long")
    # What was begun is finished first.
    monkeypatch.setattr("tests.serving.READY_SECONDS", 300.0)
    data = tmp_path / "data"
    data.mkdir()
    make(data, 1_000_000)
    random_kills(start, data, 1_000_000, 6, 600_000, 12.0)

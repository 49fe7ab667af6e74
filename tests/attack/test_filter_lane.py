"""New filters that take long to evaluate, from one client, keep no other client waiting: slices of work take turns."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.keys import Role, line, new_key
from service.settings import Settings
from service.store import pages
from service.store.reader import Reader
from service.store.scan import Scan
from service.store.schema import CollectionSettings, StoredItem
from service.store.writer import Writer
from tests.serving import NO_CERTIFICATES, running

ITEMS = 200_000
KEYS = [new_key() for _ in range(2)]
PATH = "/v1/collections/c"
CODES = np.random.default_rng(0).integers(0, 256, (ITEMS, 8), np.uint8)
QUERY = bytes(8)


def heavy(number: int, conditions: int = 12) -> dict[str, Any]:
    """A filter of many conditions that lets through two items."""
    values = [{"n": {"in": [ITEMS + place, -number]}} for place in range(conditions - 1)]
    return {"or": [*values, {"n": {"in": [number, number + 100]}}]}


def nearest(numbers: list[int]) -> list[dict[str, Any]]:
    """What a search for QUERY has to find among these items."""
    distances = np.bitwise_count(CODES[numbers] ^ np.frombuffer(QUERY, np.uint8)).sum(axis=1).tolist()
    found = sorted((distance, f"i{number:06}") for distance, number in zip(distances, numbers, strict=True))
    return [{"id": item_id, "distance": distance} for distance, item_id in found]


@dataclass
class Served:
    """A service with a key each for two clients, and whose filters were worked at, slice by slice."""

    url: str
    slices: list[int] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)

    def client(self, key: int) -> httpx.Client:
        headers = {"Authorization": f"Bearer {KEYS[key]}"}
        return httpx.Client(base_url=f"{self.url}{PATH}", headers=headers, timeout=120, verify=NO_CERTIFICATES)

    def search(self, key: int, condition: object, limit: int = 10, timeout: float = 120) -> Any:
        with self.client(key) as client:
            body = {"query": {"code": QUERY.hex()}, "filter": condition, "limit": limit, "with": []}
            reply = client.post("/search", json=body, timeout=timeout).raise_for_status()
        return [{name: each[name] for name in ("id", "distance")} for each in reply.json()["results"]]

    def wait_for(self, slices: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.slices) < slices:
            assert time.monotonic() < deadline
            time.sleep(0.002)


def between(slices: list[int], is_own: Callable[[int], bool]) -> tuple[int, int]:
    """How many slices were a request's own, and how many there were in all from its first to its last one."""
    places = [place for place, length in enumerate(slices) if is_own(length)]
    return len(places), places[-1] - places[0] + 1


def conditions(scan: Scan) -> int:
    """How long a filter is: a heavy one is told by that."""
    return len(scan.compiled[1])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with as many items as take seconds to look through."""
    data = tmp_path_factory.mktemp("data")
    with closing(Writer(Settings(data=data).database)) as writer:
        row = writer.create_collection("c", CollectionSettings(64))
        assert row is not None
        for start in range(0, ITEMS, 20_000):
            numbers = range(start, start + 20_000)
            items = [StoredItem(f"i{n:06}", CODES[n].tobytes(), b'{"n":%d,"g":%d}' % (n, n % 1000)) for n in numbers]
            writer.upsert(row.number, items)
    return data


@pytest.fixture
def served(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The service, whose slices are noted as they are made: by the length of the filter, 0 of a page."""
    step, page = Scan.step, Reader.page
    noted = Served("")

    def stepped(scan: Scan, reader: Reader, seconds: float = 0.05) -> bool:
        # Only what the lane does.
        if threading.current_thread().name == "lane":
            noted.slices.append(conditions(scan))
        return step(scan, reader, min(seconds, 0.02))

    def paged(*given: Any) -> Any:
        noted.slices.append(0)
        return page(*given)

    monkeypatch.setattr(Scan, "step", stepped)
    monkeypatch.setattr(Reader, "page", paged)
    keys = ",".join(line(Role.WRITE, key) for key in KEYS)
    with running(Settings(data=database, hashers=tmp_path, keys=keys, threads=2)) as client:
        noted.url = str(client.base_url).rstrip("/")
        yield noted


def start_heavy(served: Served, threads: ThreadPoolExecutor, numbers: range, timeout: float = 120) -> list[Future[Any]]:
    asked = [threads.submit(served.search, 0, heavy(number), timeout=timeout) for number in numbers]
    served.wait_for(len(numbers))
    return asked


def test_a_cheap_filter_of_another_client_is_answered_within_a_few_slices(served: Served) -> None:
    with ThreadPoolExecutor(4) as threads:
        asked = start_heavy(served, threads, range(2))
        before = len(served.slices)
        # New each time, and what it lets through is not among the nearest.
        for number in (7, 8):
            found = served.search(1, {"g": number})
            assert found == nearest(list(range(number, ITEMS, 1000)))[:10]
            own, all_slices = between(served.slices[before:], lambda length: length < 10)
            # One slice of the other client's for each of its own.
            assert all_slices <= 2 * own, served.slices[before:]
            before = len(served.slices)
        assert not any(each.done() for each in asked)
        for number, each in enumerate(asked):
            assert each.result() == nearest([number, number + 100])


def test_requests_of_one_client_take_turns_too(served: Served) -> None:
    with ThreadPoolExecutor(4) as threads:
        asked = start_heavy(served, threads, range(10, 12))
        before = len(served.slices)
        assert served.search(0, {"g": 17}) == nearest(list(range(17, ITEMS, 1000)))[:10]
        own, all_slices = between(served.slices[before:], lambda length: length < 10)
        assert all_slices <= 3 * own, served.slices[before:]
        assert not all(each.done() for each in asked)


def test_a_request_whose_client_left_ends_at_the_next_slice_and_what_it_read_is_kept(served: Served) -> None:
    with ThreadPoolExecutor(1) as threads, served.client(0) as client:
        body = {"query": {"code": QUERY.hex()}, "filter": heavy(20, 40)}
        asked = threads.submit(client.post, "/search", json=body, timeout=0.5)
        served.wait_for(6)
        assert isinstance(asked.exception(), httpx.ReadTimeout)
    # The server looks whether the client is there, twice a second.
    deadline = time.monotonic() + 20
    seen = -1
    while len(served.slices) > seen:
        assert time.monotonic() < deadline
        seen = len(served.slices)
        time.sleep(1.0)
    # Asked again by anybody, it goes on where it was.
    looked: list[int] = []
    between = Reader.matching_between

    def noted(reader: Reader, collection: int, compiled: Any, after: int, *more: Any) -> Any:
        looked.append(after)
        return between(reader, collection, compiled, after, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "matching_between", noted)
        assert served.search(1, heavy(20, 40)) == nearest([20, 120])
    assert min(looked) > 1000


def test_pages_by_heavy_filters_are_short_and_take_turns_with_searches(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_SECONDS", 0.05)
    stop = threading.Event()

    def walk() -> list[str]:
        """Pages of a heavy filter, one after the other, several requests at a time."""
        found: list[str] = []
        cursor: dict[str, str] = {}
        with served.client(0) as client:
            while not stop.is_set():
                given = {"filter": json.dumps(heavy(3000, 40)), "limit": "10000", **cursor}
                reply = client.get("/items", params=given).raise_for_status().json()
                found += [each["id"] for each in reply["items"]]
                if reply["cursor"] is None:
                    break
                cursor = {"cursor": reply["cursor"]}
        return found

    with ThreadPoolExecutor(4) as threads:
        walks = [threads.submit(walk) for _ in range(4)]
        try:
            served.wait_for(5)
            before = len(served.slices)
            assert served.search(1, {"g": 31}) == nearest(list(range(31, ITEMS, 1000)))[:10]
            own, all_slices = between(served.slices[before:], lambda length: length > 0)
            assert all_slices <= 2 * own, served.slices[before:]
        finally:
            stop.set()
        assert all(set(each.result()) <= {"i003000", "i003100"} for each in walks)


def test_many_queries_by_a_heavy_filter_hold_up_no_other_search(served: Served) -> None:
    queries = [{"code": CODES[n].tobytes().hex()} for n in range(30)]
    body = {"queries": queries, "filter": heavy(4000, 10), "limit": 1000, "with": []}
    with served.client(0) as slow, served.client(1) as client, ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(slow.post, "/search", json=body) for _ in range(4)]
        served.wait_for(1)
        assert served.search(1, {"g": 40}) == nearest(list(range(40, ITEMS, 1000)))[:10]
        assert not any(each.done() for each in asked)
        assert client.get("/items/i000000").status_code == 200
        for each in asked:
            results = each.result().json()["results"]
            assert [sorted(match["id"] for match in found) for found in results] == [["i004000", "i004100"]] * 30


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (
            {"or": [{"n": {"in": list(range(10_000))}}] * 3},
            "expected a filter of at most 20000 values in all, got more",
        ),
        ({"n": {"in": list(range(10_001))}}, "filter/n/in: expected at most 10000 values, got 10001"),
        ({"or": [{"n": 1}] * 257}, "expected a filter of at most 256 conditions, got more"),
        ({"or": [{"n": "x" * 600_000}] * 2}, "expected a filter whose strings are at most 1048576 bytes together"),
        ({"n": {"in": ["é" * 600] * 1000}}, "expected a filter whose strings are at most 1048576 bytes together"),
    ],
)
def test_what_a_filter_may_cost_is_bounded(served: Served, condition: object, told: str) -> None:
    with served.client(0) as client:
        for path, body in (("search", {"query": {"code": QUERY.hex()}}), ("delete", {})):
            reply = client.post(f"/{path}", json={**body, "filter": condition})
            assert reply.status_code == 422
            assert told in reply.json()["detail"]

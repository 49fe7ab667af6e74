"""A soak: 8 readers and 2 writers at once, no error, no lost update, memory and file descriptors flat."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from scripts.benchmark.client import JSON, NDJSON
from service.store.statements import REMOVALS_KEPT
from tests.faults.conftest import Start
from tests.faults.connection import Connection
from tests.faults.ledger import BITS, GROUPS, Filter, Ledger, Numbers, Reading, as_hex, name, payload
from tests.faults.processes import memory_bytes, open_files
from tests.faults.truth import DATABASE, assert_answers, stored
from tests.serving import Process, client_of

READERS, WRITERS = 8, 2
# Readers that open a connection for every few requests, and leave some without waiting for a reply.
RESTLESS_READERS, REQUESTS_EACH = 2, 5
ITEMS = 1000
# The first of them are never deleted and never change their code; the others have another one in each version.
COUNTERS = 300
COLLECTION = "soak"
PATH = f"/v1/collections/{COLLECTION}"
SEARCH, INDEX = f"{PATH}/search", f"{PATH}/index"
# All at once, before anything is measured and while it is; then one reader alone, that opens connections all the time.
SECONDS, LONG_SECONDS = (2.0, 6.0, 0.0), (60.0, 480.0, 60.0)
READS = 4000
# Measured on two cores: all at once, memory grows by up to 3 MiB in the first 10 seconds and by 4 MiB in the next two
# minutes, ever more slowly, as SQLite's caches and the heap of every thread get their share of the largest requests.
MOST_GROWTH_BYTES = 6 * 2**20
# With one reader alone it grows by 0 to 0.2 MiB: a kilobyte that each of its requests leaves would be 4 MiB.
MOST_GROWTH_ALONE_BYTES = 3 * 2**18
# The WAL begins anew at 4 MiB, as soon as nobody reads from it, and its file keeps the largest size it ever had: 5 MiB
# more were seen. In the long run many times as much is written as may stay.
MOST_DISK_GROWTH_BYTES = 32 * 2**20
PATIENCE_SECONDS = 30


class Client:
    """What readers and writers have in common: a connection, and the number of what they have done."""

    def __init__(self, url: str, seed: list[int]) -> None:
        self.counts: Counter[str] = Counter()
        self._url = url
        self._random = np.random.default_rng(seed)

    def _number(self, most: int) -> int:
        return int(self._random.integers(most))

    def _code(self) -> int:
        return int(self._random.integers(2**64, dtype=np.uint64))


class Reader(Client):
    """Reads in every way, and holds each reply against the ledger."""

    def __init__(self, url: str, seed: list[int], ledger: Ledger, restless: bool) -> None:
        super().__init__(url, seed)
        self._reading = Reading(ledger)
        self._restless = restless
        self._kinds: list[Callable[[Connection], None]] = [
            *[self._nearest] * 4,
            *[self._by_id] * 2,
            self._many,
            self._filtered,
            self._within,
            *[self._get] * 3,
            *[self._look] * 2,
        ]

    def run(self, stop: threading.Event) -> None:
        """Read until told to stop."""
        while not stop.is_set():
            if self._restless and self._number(4) == 0:
                Connection(self._url).send_and_leave("POST", SEARCH, {"query": {"code": as_hex(self._code())}})
                self.counts["left without a reply"] += 1
            with Connection(self._url) as connection:
                self.counts["connections"] += 1
                for _ in range(REQUESTS_EACH if self._restless else 10**9):
                    if stop.is_set():
                        break
                    self._kinds[self._number(len(self._kinds))](connection)

    def _ask(self, connection: Connection, method: str, path: str, content: Any = None) -> tuple[int, Any]:
        self.counts[f"{'searches' if path == SEARCH else 'looks'}"] += 1
        return connection.ask(method, path, content)

    def _search(self, connection: Connection, body: dict[str, Any]) -> list[Any]:
        status, reply = self._ask(connection, "POST", SEARCH, body)
        assert status == 200, reply
        results: list[Any] = reply["results"]
        return results

    def _query(self) -> int:
        """A code that is there, or was, or that none has."""
        codes = self._reading.send().codes
        return int(codes[self._number(ITEMS)]) if self._number(4) else self._code()

    def _nearest(self, connection: Connection) -> None:
        query, limit = self._query(), (1, 10, 50)[self._number(3)]
        found = self._search(connection, {"query": {"code": as_hex(query)}, "limit": limit})
        self._reading.receive().check_matches(query, found, limit)

    def _by_id(self, connection: Connection) -> None:
        number = self._number(COUNTERS)
        query = int(self._reading.send().codes[number])
        found = self._search(connection, {"query": {"id": name(number)}, "limit": 10})
        self._reading.receive().check_matches(query, found, 10, without=number)

    def _many(self, connection: Connection) -> None:
        queries = [self._query() for _ in range(8)]
        body = {"queries": [{"code": as_hex(query)} for query in queries], "limit": 5}
        self._reading.send()
        results = self._search(connection, body)
        span = self._reading.receive()
        for query, found in zip(queries, results, strict=True):
            span.check_matches(query, found, 5)

    def _filtered(self, connection: Connection) -> None:
        query = self._query()
        group, least = self._number(GROUPS), int(np.median(self._reading.before.versions)) + self._number(5)
        condition = (
            Filter({"group": group}, lambda numbers, versions: numbers % GROUPS == group),
            Filter({"odd": True}, lambda numbers, versions: versions % 2 == 1),
            Filter({"version": {"gte": least}}, lambda numbers, versions: versions >= least),
        )[self._number(3)]
        body = {"query": {"code": as_hex(query)}, "limit": 10, "filter": condition.condition}
        found = self._search(connection, body)
        self._reading.receive().check_matches(query, found, 10, condition=condition)

    def _within(self, connection: Connection) -> None:
        query, most = self._query(), BITS // 2 - 7
        found = self._search(connection, {"query": {"code": as_hex(query)}, "max_distance": most})
        self._reading.receive().check_matches(query, found, ITEMS, most)

    def _get(self, connection: Connection) -> None:
        number = self._number(ITEMS)
        self._reading.send()
        status, found = self._ask(connection, "GET", f"{PATH}/items/{name(number)}")
        self._reading.receive().check_item(number, status, found)

    def _look(self, connection: Connection) -> None:
        self._reading.send()
        path = ("/v1/collections", PATH, f"{PATH}/stats")[self._number(3)]
        status, found = self._ask(connection, "GET", path)
        if path == "/v1/collections":
            (found,) = [each for each in found["collections"] if each["name"] == COLLECTION]
        assert (status, found["name"], found["bits"], found["index"]["kind"]) == (200, COLLECTION, BITS, "flat")
        self._reading.receive().check_count(found["count"])


class Writer(Client):
    """Writes in every way; nobody else writes its items."""

    def __init__(self, url: str, seed: list[int], ledger: Ledger, number: int, snapshots: Path) -> None:
        super().__init__(url, seed)
        self._ledger = ledger
        self._snapshots = snapshots
        self._writer = number
        own = ledger.numbers[ledger.numbers % WRITERS == number]
        self._counters, self._changing, self._own = own[own < COUNTERS], own[own >= COUNTERS], own
        self._kinds: list[Callable[[Connection], None]] = [
            *[self._increment] * 15,
            *[self._upsert] * 15,
            *[self._import] * 5,
            *[self._delete_one] * 5,
            *[self._delete_many] * 5,
            *[self._come_and_go] * 3,
            self._snapshot,
        ]

    def fill(self) -> None:
        """All items, for a start."""
        with Connection(self._url) as connection:
            codes = self._random.integers(2**64, size=len(self._own), dtype=np.uint64)
            self._write(connection, self._own, codes, JSON)

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop."""
        with Connection(self._url) as connection:
            while not stop.is_set():
                self._kinds[self._number(len(self._kinds))](connection)

    def _write(self, connection: Connection, numbers: Numbers, codes: NDArray[np.uint64], media_type: str) -> None:
        drawn = zip(numbers.tolist(), self._ledger.begin(numbers).tolist(), codes.tolist(), strict=True)
        items = [
            {"id": name(number), "code": as_hex(code), "payload": payload(number, version, code)}
            for number, version, code in drawn
        ]
        body = orjson.dumps({"items": items}) if media_type == JSON else b"\n".join(map(orjson.dumps, items))
        expected = {"indexed": len(items)} | ({} if media_type == JSON else {"rejected": []})
        assert connection.ask("POST", INDEX, body, media_type) == (200, expected)
        self._ledger.acknowledge(numbers, codes)
        self.counts.update({"writes": 1, "items written": len(items)})

    def _some(self, count: int) -> tuple[Numbers, NDArray[np.uint64]]:
        numbers = self._random.choice(self._own, count, replace=False)
        codes = self._random.integers(2**64, size=count, dtype=np.uint64)
        fixed = numbers < COUNTERS
        codes[fixed] = self._ledger.done().codes[numbers[fixed]]
        return numbers, codes

    def _increment(self, connection: Connection) -> None:
        """Read, modify, write: what is read is what was written last, so that nothing is overwritten unseen."""
        number = self._random.choice(self._counters, 1)
        done = self._ledger.done()
        status, found = connection.ask("GET", f"{PATH}/items/{name(int(number[0]))}")
        assert (status, found["payload"]["version"]) == (200, done.versions[number[0]])
        self._write(connection, number, done.codes[number], JSON)
        self.counts["increments"] += 1

    def _upsert(self, connection: Connection) -> None:
        self._write(connection, *self._some(20), JSON)

    def _import(self, connection: Connection) -> None:
        self._write(connection, *self._some(50), NDJSON)

    def _delete_one(self, connection: Connection) -> None:
        number = self._random.choice(self._changing, 1)
        there = bool(self._ledger.done().there[number[0]])
        self._ledger.begin(number)
        status, reply = connection.ask("DELETE", f"{PATH}/items/{name(int(number[0]))}")
        assert (status, reply.get("deleted")) == ((200, 1) if there else (404, None))
        self._ledger.acknowledge(number, None)
        self.counts["deletes"] += 1

    def _delete_many(self, connection: Connection) -> None:
        numbers = self._random.choice(self._changing, 15, replace=False)
        there = int(np.count_nonzero(self._ledger.done().there[numbers]))
        self._ledger.begin(numbers)
        ids = [name(number) for number in numbers.tolist()]
        assert connection.ask("POST", f"{PATH}/delete", {"ids": ids}) == (200, {"deleted": there})
        self._ledger.acknowledge(numbers, None)
        self.counts["deletes"] += 1

    def _come_and_go(self, connection: Connection) -> None:
        """A collection that is made, filled, searched and deleted, under a name that none had before."""
        self.counts["collections made and deleted"] += 1
        path = f"/v1/collections/passing-{self._writer}-{self.counts['collections made and deleted']}"
        assert connection.ask("PUT", path, {"bits": BITS})[0] == 201
        code = as_hex(self._code())
        items = [{"id": str(number), "code": code} for number in range(20)]
        assert connection.ask("POST", f"{path}/index", {"items": items}) == (200, {"indexed": len(items)})
        body = {"query": {"code": code}, "limit": len(items), "filter": {"any": {"exists": False}}}
        status, reply = connection.ask("POST", f"{path}/search", body)
        assert (status, [match["id"] for match in reply["results"]]) == (200, sorted(item["id"] for item in items))
        assert connection.ask("DELETE", path) == (204, None)

    def _snapshot(self, connection: Connection) -> None:
        status, told = connection.ask("POST", f"{PATH}/snapshots")
        assert status == 201 and COUNTERS <= told["items"] <= ITEMS
        for file in self._snapshots.glob(f"{told['snapshot']}*"):
            file.unlink()
        self.counts["snapshots"] += 1


def _run(clients: Sequence[Reader | Writer], seconds: float, requests: int = 0) -> None:
    """All at once, for so long and until there were so many requests; the first error ends it."""
    stop = threading.Event()

    def run(client: Reader | Writer) -> None:
        try:
            client.run(stop)
        finally:
            stop.set()

    began, wanted = time.monotonic(), _requests(clients) + requests
    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(run, client) for client in clients]
        try:
            while time.monotonic() < began + seconds or _requests(clients) < wanted:
                if stop.wait(0.1) or time.monotonic() > began + seconds + PATIENCE_SECONDS:
                    break
        finally:
            stop.set()
    for each in running:
        each.result()


def _counts(clients: Sequence[Reader | Writer]) -> Counter[str]:
    return sum((client.counts for client in clients), Counter())


def _requests(clients: Sequence[Reader | Writer]) -> int:
    return sum(client.counts[kind] for client in clients for kind in ("searches", "looks", "writes", "deletes"))


class Taken(NamedTuple):
    """What the service takes while it has nothing to do: memory, open files, and room on the disk."""

    memory_bytes: int
    files: Counter[str]
    disk_bytes: int


def _taken(serving: Process, data: Path, files: int | None = None) -> Taken:
    """Once the service has closed its ends of all connections; no more than `files` are left then, if that is known."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    found, before = open_files(serving.pid), None
    while found != before or (files is not None and found.total() > files):
        time.sleep(0.5)
        found, before = open_files(serving.pid), found
        if time.monotonic() > deadline:
            break
    disk = sum(file.stat().st_size for file in data.glob(f"{DATABASE}*"))
    return Taken(memory_bytes(serving.pid), found, disk)


@pytest.mark.timeout(1800)
def test_readers_and_writers_go_on_without_an_error_and_nothing_grows(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    data = tmp_path / "data"
    serving = start(data, "--log-level", "warning")
    serving.client.put(PATH, json={"bits": BITS}).raise_for_status()
    # No connection is left from here on but those of readers and writers.
    serving.client.close()
    ledger = Ledger(ITEMS)
    writers = [Writer(serving.url, [seed, number], ledger, number, data / "snapshots") for number in range(WRITERS)]
    readers = [
        Reader(serving.url, [seed, WRITERS + number], ledger, number < RESTLESS_READERS) for number in range(READERS)
    ]
    # Until there are as many removals as are kept the database grows.
    for _ in range(REMOVALS_KEPT // ITEMS + 2):
        for writer in writers:
            writer.fill()
    warm_up, mixed, alone = LONG_SECONDS if long else SECONDS
    _run([*readers, *writers], warm_up)
    before, counted = _taken(serving, data), _counts([*readers, *writers])
    _run([*readers, *writers], mixed)
    counts = _counts([*readers, *writers]) - counted
    # SQLite keeps the file of a closed connection for the next one: of as many snapshots as were taken at once.
    most_files = before.files.total() + WRITERS
    between = _taken(serving, data, most_files)
    # The first of these requests still find a heap that grows to what each thread needs.
    _run(readers[:1], alone, READS)
    warm = _taken(serving, data, most_files)
    _run(readers[:1], alone, READS)
    after = _taken(serving, data, most_files)
    print(
        f"{READERS} readers and {WRITERS} writers, {mixed:.0f} s: {dict(counts)}; "
        f"{counts['searches'] / mixed:.0f} searches and {counts['writes'] / mixed:.0f} writes a second"
    )
    for what in ("memory", "disk"):
        sizes = [getattr(taken, f"{what}_bytes") / 2**20 for taken in (before, between, warm, after)]
        told = " and ".join(f"{size:.1f}" for size in sizes[2:])
        print(f"{what}: {sizes[0]:.1f} MiB before, {sizes[1]:.1f} after, {told} after one reader alone")
    print(f"files open: {before.files.total()} before, {after.files.total()} after")
    assert all(counts[kind] for kind in ("searches", "looks", "increments", "deletes", "connections"))
    assert between.memory_bytes - before.memory_bytes <= MOST_GROWTH_BYTES
    assert after.memory_bytes - warm.memory_bytes <= MOST_GROWTH_ALONE_BYTES
    assert after.disk_bytes - before.disk_bytes <= MOST_DISK_GROWTH_BYTES
    assert after.files.total() <= most_files, after.files - before.files
    # Every write that was acknowledged is there, once, and nothing else: no increment was overwritten by another.
    found = stored(data, COLLECTION)
    assert found == ledger.items()
    with client_of(serving.url, timeout=30) as client:
        assert_answers(client, COLLECTION, found, np.random.default_rng(seed))

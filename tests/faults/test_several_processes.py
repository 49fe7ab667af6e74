"""Several processes on one data folder, workers of one service or services of their own, work together."""

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.store.reader import Reader
from service.store.schema import CollectionSettings
from service.store.writer import Writer
from tests.faults.conftest import Start
from tests.faults.connection import CUT_OFF, Connection
from tests.faults.known import Batch, Known, Value, as_items, changed
from tests.faults.processes import workers
from tests.faults.truth import DATABASE, assert_answers, nearest, stored
from tests.faults.writing import make_quiet_collection, reading
from tests.serving import Process

BITS = 64
PATH = "/v1/collections/c"
SEARCH, INDEX, DELETE = f"{PATH}/search", f"{PATH}/index", f"{PATH}/delete"
IDS = [f"item-{number}" for number in range(150)]
GROUPS = 4
WRITES, LONG_WRITES = 1000, 10_000
RESTARTS, LONG_RESTARTS, WRITES_BETWEEN = 1, 10, 50
# Besides those that the other tests begin with.
STARTS, LONG_STARTS = 3, 20
MAKERS, MADE, LONG_MADE = 4, 20, 400
KILLS, LONG_KILLS = 3, 30
CHANGES, LONG_CHANGES = 20, 200
PATIENCE_SECONDS = 30


class Exchange:
    """Writes through one of several connections, and reads through the others what has to be there at once."""

    def __init__(self, seed: int) -> None:
        self.items: dict[str, Value] = {}
        self.counts: Counter[str] = Counter()
        self._gone: list[str] = []
        self._random = np.random.default_rng(seed)

    def run(self, connections: Sequence[Connection], writes: int) -> None:
        """So many writes, through each connection in turn."""
        for turn in range(writes):
            writing = connections[turn % len(connections)]
            batch = self._write(writing)
            for other in connections:
                if other is not writing:
                    self._read(other, batch)
            if turn % 5 == 0:
                self._search(writing, self._query(batch), 3)

    def _write(self, connection: Connection) -> Batch:
        """One write, and what became of its ids; codes and payloads never come again."""
        self.counts["writes"] += 1
        kind = str(self._random.choice(["upsert", "upsert many", "delete one", "delete"], p=[0.5, 0.15, 0.2, 0.15]))
        count = 1 if kind in ("upsert", "delete one") else int(self._random.integers(2, 10))
        ids = [str(item_id) for item_id in self._random.choice(IDS, count, replace=False)]
        batch: Batch = dict.fromkeys(ids)
        there = len(batch.keys() & self.items.keys())
        if kind.startswith("upsert"):
            values = {item_id: self._value() for item_id in ids}
            batch |= values
            assert connection.ask("POST", INDEX, {"items": as_items(values)}) == (200, {"indexed": count})
            self.counts.update({"added": count - there, "replaced": there})
        elif kind == "delete one":
            status, reply = connection.ask("DELETE", f"{PATH}/items/{ids[0]}")
            assert (status, reply.get("deleted")) == ((200, 1) if there else (404, None))
            self.counts["deleted"] += there
        else:
            assert connection.ask("POST", DELETE, {"ids": ids}) == (200, {"deleted": there})
            self.counts["deleted"] += there
        self._gone = [self.items[item_id].code for item_id in ids if item_id in self.items]
        self.items = changed(self.items, batch)
        return batch

    def _value(self) -> Value:
        payload = {"write": self.counts["writes"], "group": int(self._random.integers(GROUPS))}
        return Value(self._random.bytes(BITS // 8).hex(), payload)

    def _read(self, connection: Connection, batch: Batch) -> None:
        way = self._random.random()
        # Of all items, or of those that a new filter lets through, or one that is kept and brought up to date: so few
        # that they are not all among the nearest, which are looked through first.
        if way < 0.5:
            self._search(connection, self._query(batch), 3)
        elif way < 0.75:
            self._search(connection, self._query(batch), 5, {"write": self.counts["writes"]})
        else:
            self._search(connection, self._query(batch), 5, {"group": int(self._random.integers(GROUPS))})
        if way % 0.5 < 0.1:
            self._get(connection, *next(iter(batch.items())))

    def _get(self, connection: Connection, item_id: str, value: Value | None) -> None:
        status, found = connection.ask("GET", f"{PATH}/items/{item_id}")
        if value is None:
            assert status == 404
        else:
            told = {"id": item_id, "code": value.code, "payload": value.payload, "hasher": None}
            assert (status, found) == (200, told)
        self.counts["replies compared"] += 1

    def _query(self, batch: Batch) -> str:
        """A code that is there now, or that is there no longer."""
        codes = [value.code for value in batch.values() if value is not None] + self._gone
        return str(self._random.choice(codes)) if codes else self._random.bytes(BITS // 8).hex()

    def _search(self, connection: Connection, code: str, limit: int, condition: dict[str, Any] | None = None) -> None:
        body: dict[str, Any] = {"query": {"code": code}, "limit": limit}
        let_through = self.items
        if condition is not None:
            body["filter"] = condition
            let_through = {
                item_id: value
                for item_id, value in self.items.items()
                if (value.payload or {}).items() >= condition.items()
            }
        status, reply = connection.ask("POST", SEARCH, body)
        assert status == 200, reply
        found = [(match["distance"], match["id"], match["payload"]) for match in reply["results"]]
        codes = {item_id: bytes.fromhex(value.code) for item_id, value in let_through.items()}
        assert found == nearest(bytes.fromhex(code), codes, let_through, limit, None)
        self.counts["replies compared"] += 1


class Owner:
    """Writes ids of its own through one service, until it is told to stop or cut off; one thread at a time."""

    def __init__(self, name: str, seed: list[int]) -> None:
        self.known = Known()
        self.acknowledged = 0
        self._name = name
        self._random = np.random.default_rng(seed)

    def write(self, url: str, stop: threading.Event) -> None:
        """Upsert and delete many at once, so that most of the time something is half written."""
        with Connection(url) as connection:
            while not stop.is_set():
                ids = [f"{self._name}-{number}" for number in self._random.choice(600, 200, replace=False)]
                values = {item_id: Value(self._random.bytes(BITS // 8).hex(), None) for item_id in ids}
                delete = self._random.random() < 0.3
                self.known.begin([dict.fromkeys(ids) if delete else dict(values)])
                content = {"ids": ids} if delete else {"items": as_items(values)}
                status, reply = connection.ask("POST", DELETE if delete else INDEX, content)
                assert status == 200, reply
                self.known.acknowledge()
                self.acknowledged += 1

    def write_until_cut_off(self, url: str) -> None:
        """Write until the service is gone."""
        try:
            self.write(url, threading.Event())
        except CUT_OFF:
            return

    def owned(self, found: dict[str, Value]) -> dict[str, Value]:
        """Of what was found, what only this one writes."""
        return {item_id: value for item_id, value in found.items() if item_id.startswith(f"{self._name}-")}


def start_both(start: Start, data: Path, *options: str) -> tuple[Process, Process]:
    """Two services over one folder, started at the same moment, the first with options."""
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(start, data, *options), threads.submit(start, data)]
    one, other = (each.result() for each in both)
    return one, other


@contextmanager
def connection_to_each_worker(serving: Process) -> Iterator[tuple[Connection, Connection]]:
    """A connection that is kept with each of two workers."""
    processes = workers(serving.pid)
    with ExitStack() as stack:
        one = _answered(stack.enter_context(Connection(serving.url)))
        holder = one.holder(processes)
        # Which of them accepts a connection is chance, unless all but one hold still.
        os.kill(holder, signal.SIGSTOP)
        try:
            other = _answered(stack.enter_context(Connection(serving.url)))
        finally:
            os.kill(holder, signal.SIGCONT)
        assert other.holder(processes) != holder, f"expected connections with two of {processes}, both are with one"
        yield one, other


def _answered(connection: Connection) -> Connection:
    assert connection.ask("GET", "/livez")[0] == 200
    return connection


@pytest.mark.timeout(1800)
def test_workers_and_services_see_each_write_of_the_others_at_once(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    """Three processes on one folder: two workers of one service, and another service."""
    by_two, by_one = start_both(start, tmp_path / "data", "--workers", "2")
    exchange = Exchange(seed)
    with connection_to_each_worker(by_two) as workers_own, Connection(by_one.url) as own:
        assert own.ask("PUT", PATH, {"bits": BITS})[0] == 201
        exchange.run([*workers_own, own], LONG_WRITES if long else WRITES)
    assert stored(tmp_path / "data", "c") == exchange.items
    print(f"two workers and another service: {dict(exchange.counts)}")


@pytest.mark.timeout(600)
def test_two_services_go_on_together_after_restarts(start: Start, tmp_path: Path, long: bool, seed: int) -> None:
    data = tmp_path / "data"
    exchange, random = Exchange(seed), np.random.default_rng(seed)
    one, other = start_both(start, data)
    one.client.put(PATH, json={"bits": BITS}).raise_for_status()
    for both in [False, True] * (LONG_RESTARTS if long else RESTARTS):
        with Connection(one.url) as first, Connection(other.url) as second:
            exchange.run([first, second], WRITES_BETWEEN)
            one.stop()
            # What is written while it is stopped is there when it starts again.
            exchange.run([second], 2)
        if both:
            other.stop()
            one, other = start_both(start, data)
        else:
            one = start(data)
        for serving in (one, other):
            assert_answers(serving.client, "c", exchange.items, random)
    assert stored(data, "c") == exchange.items


@pytest.mark.timeout(1800)
def test_one_of_two_services_is_killed_and_the_other_goes_on(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    data = tmp_path / "data"
    random = np.random.default_rng(seed)
    killed, going_on = Owner("killed", [seed, 0]), Owner("going-on", [seed, 1])
    compared: Counter[str] = Counter()
    one, other = start_both(start, data)
    quiet = make_quiet_collection(other, seed)
    other.client.put(PATH, json={"bits": BITS}).raise_for_status()
    for _ in range(LONG_KILLS if long else KILLS):
        stop = threading.Event()
        with reading(other.url, quiet, compared), ThreadPoolExecutor(2) as threads:
            try:
                cut_off = threads.submit(killed.write_until_cut_off, one.url)
                writing = threads.submit(going_on.write, other.url, stop)
                _wait_until_more(killed)
                time.sleep(random.uniform(0, 0.1))
                one.kill()
                cut_off.result()
                before = going_on.acknowledged
                _wait_until(
                    lambda before=before, writing=writing: going_on.acknowledged > before + 10 or writing.done()
                )
            finally:
                one.kill()
                stop.set()
            writing.result()
        found = stored(data, "c")
        # Of what was under way when it was killed all or nothing is there.
        compared["found whole"] += killed.known.settle(killed.owned(found))
        assert going_on.owned(found) == going_on.known.items
        one = start(data)
        for serving in (one, other):
            compared["written"] += assert_answers(serving.client, "c", found, random)
    print(
        f"one of two services killed: {killed.acknowledged} writes of it acknowledged, "
        f"{going_on.acknowledged} of the other; replies compared: {dict(compared)}"
    )
    assert other.client.get("/readyz").status_code == 200 and compared["quiet"]


def _wait_until_more(owner: Owner) -> None:
    enough = owner.acknowledged + 3
    _wait_until(lambda: owner.acknowledged >= enough)


def _wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not met():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.mark.timeout(120)
def test_workers_stop_when_the_process_that_started_them_is_killed(start: Start, tmp_path: Path) -> None:
    """Nobody could stop them, and the port would not be free."""
    serving = start(tmp_path / "data", "--workers", "2")
    processes = workers(serving.pid)
    port = serving.client.base_url.port
    serving.client.close()
    os.kill(serving.pid, signal.SIGKILL)
    _wait_until(lambda: not any(_goes_on(process) for process in processes))
    assert "the process that started this worker is gone" in serving.log.read_text()
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))


def _goes_on(process: int) -> bool:
    with suppress(OSError):
        # What follows the name: a zombie is one that its new parent has not asked for yet.
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.timeout(600)
def test_collections_made_changed_and_deleted_in_one_service_are_so_in_the_other(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    services = start_both(start, tmp_path / "data")
    with Connection(services[0].url) as first, Connection(services[1].url) as second:
        for turn in range(LONG_CHANGES if long else CHANGES):
            one, other = (first, second) if turn % 2 else (second, first)
            # Another length under the same name: nothing of the one before may be left anywhere.
            bits = 32 + 8 * turn % 64
            told = {
                "name": "c",
                "bits": bits,
                "hasher": None,
                "count": 0,
                "keep_features": "none",
                "keep_documents": False,
            }
            flat, ivf = {"kind": "flat"}, {"kind": "ivf", "lists": 2, "probes": 2}
            assert one.ask("PUT", PATH, {"bits": bits}) == (201, {**told, "index": flat})
            assert other.ask("PUT", PATH, {"bits": bits}) == (200, {**told, "index": flat})
            assert other.ask("GET", PATH) == (200, {**told, "index": flat})
            values = {f"item-{place}": Value(random.bytes(bits // 8).hex(), None) for place in range(100)}
            assert other.ask("POST", INDEX, {"items": as_items(values)}) == (200, {"indexed": len(values)})
            told["count"] = len(values)
            assert one.ask("PATCH", PATH, {"index": ivf}) == (200, {**told, "index": ivf})
            assert other.ask("GET", "/v1/collections") == (200, {"collections": [{**told, "index": ivf}]})
            # Each builds its own, and says so: exact before, and with all lists probed also then.
            for each in (other, one):
                assert_nearest(each, values, random)
                _wait_until(lambda each=each: _index(each)["state"] == "ready")
                assert _index(each).items() >= {"kind": "ivf", "lists": 2, "probes": 2, "indexed": 100}.items()
                assert_nearest(each, values, random)
            assert other.ask("PATCH", PATH, {"index": flat}) == (200, {**told, "index": flat})
            assert _index(one) == {"kind": "flat", "state": "exact"}
            assert_nearest(one, values, random)
            assert other.ask("DELETE", PATH) == (204, None)
            for method, path, content in (
                ("GET", PATH, None),
                ("GET", f"{PATH}/stats", None),
                ("GET", f"{PATH}/items/item-1", None),
                ("POST", SEARCH, {"query": {"code": "00" * (bits // 8)}}),
                ("POST", INDEX, {"items": as_items(values)}),
                ("DELETE", PATH, None),
            ):
                status, problem = one.ask(method, path, content)
                assert (status, problem["title"]) == (404, "Unknown collection")
            assert one.ask("GET", "/v1/collections") == (200, {"collections": []})


def _index(connection: Connection) -> dict[str, Any]:
    status, stats = connection.ask("GET", f"{PATH}/stats")
    assert status == 200, stats
    return {name: value for name, value in stats["index"].items() if value is not None}


def assert_nearest(connection: Connection, values: dict[str, Value], random: np.random.Generator) -> None:
    """A search for one of them, or for a code that none has, gives the nearest."""
    codes = {item_id: bytes.fromhex(value.code) for item_id, value in values.items()}
    for code in (next(iter(codes.values())), random.bytes(len(next(iter(codes.values()))))):
        status, reply = connection.ask("POST", SEARCH, {"query": {"code": code.hex()}, "limit": 20})
        assert status == 200, reply
        found = [(match["distance"], match["id"], match["payload"]) for match in reply["results"]]
        assert found == nearest(code, codes, values, 20, None)


@pytest.mark.timeout(600)
def test_two_services_start_at_the_same_moment_on_an_empty_folder(start: Start, tmp_path: Path, long: bool) -> None:
    for number in range(LONG_STARTS if long else STARTS):
        one, other = start_both(start, tmp_path / f"data-{number}")
        assert one.client.put(PATH, json={"bits": 8}).status_code == 201
        assert other.client.post(INDEX, json={"items": [{"id": "a", "code": "07"}]}).json() == {"indexed": 1}
        assert one.client.get(f"{PATH}/items/a").json()["code"] == "07"
        one.kill()
        other.kill()


@pytest.mark.timeout(600)
def test_many_make_the_database_at_the_same_moment(tmp_path: Path, long: bool) -> None:
    """Closer together than services ever start: each opens it, and what each writes is there."""
    for number in range(LONG_MADE if long else MADE):
        folder = tmp_path / str(number)
        folder.mkdir()
        together = threading.Barrier(MAKERS)
        with ThreadPoolExecutor(MAKERS) as threads:
            made = [threads.submit(_make, folder / DATABASE, f"c-{maker}", together) for maker in range(MAKERS)]
        for each in made:
            each.result()
        with closing(Reader(folder / DATABASE)) as reader:
            assert [row.name for row in reader.collections()] == [f"c-{maker}" for maker in range(MAKERS)]


def _make(database: Path, collection: str, together: threading.Barrier) -> None:
    together.wait()
    with closing(Writer(database)) as writer:
        assert writer.create_collection(collection, CollectionSettings(32)) is not None

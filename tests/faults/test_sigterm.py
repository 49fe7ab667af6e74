"""SIGTERM: requests in flight are finished, new ones are refused, nothing is lost, and all is over in ten seconds."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from service.http.requests.ndjson import BATCH_LINES
from tests.faults.conftest import Start
from tests.faults.known import Known, Value, as_items, draw
from tests.faults.truth import assert_answers, stored
from tests.faults.writing import QUIET, make_quiet_collection
from tests.serving import Process

BITS = 64
COLLECTION = "written"
INDEX = f"/v1/collections/{COLLECTION}/index"
SEARCH = f"/v1/collections/{QUIET}/search"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
REFUSED = (503, "Stopping")
# How long a signal may take to be noticed, by a busy process.
NOTICED_SECONDS = 0.25
# A busy machine takes its time to close what is listened to; what is in flight takes up to six seconds.
TOLD_SECONDS = 2.0
# By so much a busy machine may be late to tell the service, or this process, of what has happened.
LATE_SECONDS = 1.0
ALL_OVER_SECONDS = 10.0
LARGE_BODY_BYTES = 10**6
SEARCHERS, UPSERTERS, IMPORTERS, LATE_IMPORTERS = 3, 2, 2, 1
LINES, LINES_AT_ONCE, PAUSE_SECONDS = 2 * BATCH_LINES + BATCH_LINES // 2, 100, 0.05


@dataclass(frozen=True)
class Reply:
    """A whole reply."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.content)


class UnansweredError(Exception):
    """A connection was refused, or ended before anything of a reply came."""


class Caller:
    """One connection after the other; unlike other clients it tells no reply from half a reply, which fails."""

    def __init__(self, url: str, keep_alive: bool = True) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._keep_alive = keep_alive

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """Send a request and read the reply, also one that comes before the request is sent."""
        try:
            answer = self._ask(method, path, body, headers or {})
        except OSError as error:
            self._connection.close()
            raise UnansweredError from error
        content = answer.read()
        if not self._keep_alive or answer.will_close:
            answer.close()
            self._connection.close()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> HTTPResponse:
        try:
            self._connection.request(method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            if self._connection.sock is None:
                raise
            early = HTTPResponse(self._connection.sock, method=method)
            early.begin()
            return early
        return self._connection.getresponse()


class Load:
    """Clients that go on until nobody answers any more, and hold each reply against the moment of the signal."""

    def __init__(self, serving: Process, workers: int, quiet: dict[str, Value], seed: int) -> None:
        self._serving = serving
        self._workers = workers
        self._quiet = quiet
        self._seed = seed
        self._signalled = float("inf")
        self._told = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.known: dict[str, Known] = {}
        self.half_way = [threading.Event() for _ in range(IMPORTERS)]

    def clients(self) -> list[Callable[[], None]]:
        """One for each thread."""
        searchers = [lambda number=number: self._searcher(number) for number in range(SEARCHERS)]
        upserters = [lambda number=number: self._upserter(number) for number in range(UPSERTERS)]
        importers = [lambda number=number: self._importer(number) for number in range(IMPORTERS)]
        return [*searchers, *upserters, *importers, *[self._late_importer] * LATE_IMPORTERS]

    def signal(self) -> None:
        """SIGTERM, while every import is half way."""
        for event in self.half_way:
            event.clear()
        for event in self.half_way:
            assert event.wait(30)
        # Noted before: the reply may be here sooner than this thread goes on.
        self._signalled = time.monotonic()
        os.kill(self._serving.pid, signal.SIGTERM)
        self._told.set()

    def _searcher(self, number: int) -> None:
        random = np.random.default_rng([self._seed, number])
        caller = Caller(self._serving.url, keep_alive=number > 0)
        while True:
            code = random.bytes(BITS // 8)
            body = json.dumps({"query": {"code": code.hex()}, "limit": 20})
            reply = self._call("search", caller, SEARCH, body, JSON)
            if reply is None:
                return
            if reply.status == 200:
                found = [(match["distance"], match["id"]) for match in reply.json["results"]]
                assert found == nearest(code, self._quiet, 20)

    def _upserter(self, number: int) -> None:
        random = np.random.default_rng([self._seed, SEARCHERS + number])
        ids = [f"upsert-{number}-{place}" for place in range(200)]
        known = self.known[f"upsert-{number}"] = Known()
        caller = Caller(self._serving.url, keep_alive=number > 0)
        while True:
            values = draw(random, (str(item_id) for item_id in random.choice(ids, 20, replace=False)), BITS)
            known.begin([dict(values)])
            reply = self._call("upsert", caller, INDEX, json.dumps({"items": as_items(values)}), JSON)
            if reply is None:
                return
            self._settle(known, reply, {"indexed": len(values)})

    def _importer(self, number: int) -> None:
        random = np.random.default_rng([self._seed, SEARCHERS + UPSERTERS + number])
        known = self.known[f"import-{number}"] = Known()
        caller = Caller(self._serving.url)
        while True:
            values = list(draw(random, (f"import-{number}-{place}" for place in range(LINES)), BITS).items())
            known.begin([dict(values[first : first + BATCH_LINES]) for first in range(0, LINES, BATCH_LINES)])
            lines = self._slowly([json.dumps(item) + "\n" for item in as_items(dict(values))], self.half_way[number])
            reply = self._call("import", caller, INDEX, lines, NDJSON)
            if reply is None:
                return
            self._settle(known, reply, {"indexed": LINES, "rejected": []})

    def _late_importer(self) -> None:
        assert self._told.wait(60)
        time.sleep(NOTICED_SECONDS)
        lines = self._slowly(['{"id": "late", "code": "0123456789abcdef"}\n'] * LINES, threading.Event())
        self._call("import", Caller(self._serving.url), INDEX, lines, NDJSON)

    def _slowly(self, lines: list[str], half_way: threading.Event) -> Iterator[bytes]:
        for first in range(0, len(lines), LINES_AT_ONCE):
            yield "".join(lines[first : first + LINES_AT_ONCE]).encode()
            if first == len(lines) // LINES_AT_ONCE // 2 * LINES_AT_ONCE:
                half_way.set()
            time.sleep(PAUSE_SECONDS)

    def _settle(self, known: Known, reply: Reply, done: dict[str, object]) -> None:
        if reply.status == 200:
            assert reply.json == done
            known.acknowledge()
        else:
            # Refused: nothing of it may be there.
            known.begin([])

    def _call(self, kind: str, caller: Caller, path: str, body: Any, headers: dict[str, str]) -> Reply | None:
        """The reply, which suits the moment, or None when the service said before that it is going."""
        sent = time.monotonic()
        try:
            reply = caller.call("POST", path, body, headers)
        except UnansweredError as error:
            going = self._serving.log.read_text().count("Shutting down")
            assert going == self._workers, f"{kind} unanswered {time.monotonic() - self._signalled:.3f} s after"
            # Nobody listens any more: it is told so, and does not wait for what is in flight, or the process, to end.
            assert time.monotonic() < sent + TOLD_SECONDS
            self._count(kind, f"unanswered in the end: {type(error.__cause__).__name__}")
            return None
        came = time.monotonic()
        if reply.status == 200:
            assert sent <= self._signalled + LATE_SECONDS
            in_flight = sent < self._signalled < came
            self._count(kind, "answered" if not in_flight else "answered that was in flight")
        else:
            assert came >= self._signalled, f"{reply.status} before the signal: {reply.content!r}"
            # What was long under way is not refused.
            assert sent > self._signalled - LATE_SECONDS
            assert_refused(reply)
            self._count(kind, "refused")
        return reply

    def _count(self, kind: str, outcome: str) -> None:
        with self._lock:
            self.counts[f"{kind} {outcome}"] += 1


def nearest(code: bytes, items: dict[str, Value], limit: int) -> list[tuple[int, str]]:
    """By brute force, in the order (distance, id)."""
    number = int.from_bytes(code, "big")
    return sorted(((number ^ int(value.code, 16)).bit_count(), item_id) for item_id, value in items.items())[:limit]


def assert_refused(reply: Reply) -> None:
    """A whole problem detail, after which the connection is closed."""
    problem = reply.json
    assert (reply.status, problem["title"]) == REFUSED, problem
    assert problem["type"] == "about:blank" and problem["status"] == 503 and problem["errors"] == []
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["connection"] == "close" and reply.headers["retry-after"] == "1"
    assert problem["request_id"] == reply.headers["x-request-id"]


def wait_for_end(serving: Process, since: float) -> int:
    """The exit status, negative for a signal, of a process that ends in time; it stays to be waited for."""
    while (ended := os.waitid(os.P_PID, serving.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
        assert time.monotonic() < since + ALL_OVER_SECONDS, serving.log.read_text()[-4000:]
        time.sleep(0.01)
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def make_collection(serving: Process) -> None:
    """The one that is written to."""
    serving.client.put(f"/v1/collections/{COLLECTION}", json={"bits": BITS}).raise_for_status()


def start_request(url: str, headers: str, body: bytes) -> socket.socket:
    """A connection with the beginning of a request."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=30)
    connection.sendall(headers.replace("\n", "\r\n").encode() + b"\r\n" + body)
    return connection


def read_reply(connection: socket.socket) -> Reply:
    """The whole reply."""
    answer = HTTPResponse(connection)
    answer.begin()
    return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the other side closes, in order."""
    return b"".join(iter(partial(connection.recv, 10**6), b""))


@pytest.mark.parametrize("workers", [1, 2])
def test_under_load_requests_in_flight_finish_and_later_ones_are_refused(
    start: Start, tmp_path: Path, workers: int, seed: int
) -> None:
    data = tmp_path / "data"
    serving = start(data, "--workers", str(workers))
    make_collection(serving)
    load = Load(serving, workers, make_quiet_collection(serving, seed), seed)
    clients = load.clients()
    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(client) for client in clients]
        time.sleep(1)
        load.signal()
        since = time.monotonic()
        status = wait_for_end(serving, since)
        print(f"over after {time.monotonic() - since:.2f} s")
        for client in running:
            client.result()
    print(dict(sorted(load.counts.items())))
    assert status == (-signal.SIGTERM if workers == 1 else 0)
    assert load.counts["import answered that was in flight"] == IMPORTERS
    assert all(load.counts[f"{kind} refused"] for kind in ("search", "upsert", "import"))
    assert all(load.counts[f"{kind} answered"] for kind in ("search", "upsert"))
    serving = start(data)
    found = stored(data, COLLECTION)
    for owner, known in load.known.items():
        known.settle({item_id: value for item_id, value in found.items() if item_id.startswith(f"{owner}-")})
    assert len(found) == sum(len(known.items) for known in load.known.values())
    assert_answers(serving.client, COLLECTION, found, np.random.default_rng(seed))


@pytest.mark.parametrize("workers", [1, 2])
def test_stuck_clients_are_cut_off(start: Start, tmp_path: Path, workers: int, seed: int) -> None:
    data = tmp_path / "data"
    serving = start(data, "--workers", str(workers))
    make_collection(serving)
    batch = draw(np.random.default_rng(seed), (f"written-{number}" for number in range(BATCH_LINES)), BITS)
    lines = "".join(json.dumps(item) + "\n" for item in as_items(batch)).encode()
    rest = b'{"id": "unwritten", "code": "0000000000000000"}\n{"id": "un'
    head = f"POST {INDEX} HTTP/1.1\nHost: localhost\nX-Request-ID: mine\nContent-Length: 1000000\nContent-Type: "
    importing = start_request(serving.url, f"{head}{NDJSON['Content-Type']}\n", lines + rest)
    upserting = start_request(serving.url, f"{head}{JSON['Content-Type']}\n", b'{"items": [')
    silent = start_request(serving.url, "", b"")
    half_a_head = start_request(serving.url, "GET /livez HTTP/1.1\nHost: lo", b"")
    kept = Caller(serving.url)
    assert kept.call("GET", "/readyz").status == 200
    while len(stored(data, COLLECTION)) < BATCH_LINES:
        time.sleep(0.01)
    os.kill(serving.pid, signal.SIGTERM)
    since = time.monotonic()
    time.sleep(NOTICED_SECONDS)
    later = Caller(serving.url)
    for caller in (kept, later, later):
        assert_refused(caller.call("GET", "/readyz"))
        live = caller.call("GET", "/livez")
        assert (live.status, live.json, live.headers["connection"]) == (200, {"status": "live"}, "close")
    own = later.call("POST", SEARCH, b"{}" * 10**6, {"X-Request-ID": "my-own"})
    assert_refused(own)
    assert own.headers["x-request-id"] == "my-own"
    for connection in (importing, upserting):
        reply = read_reply(connection)
        assert_refused(reply)
        assert reply.headers["x-request-id"] == "mine"
        connection.close()
    assert wait_for_end(serving, since) == (-signal.SIGTERM if workers == 1 else 0)
    for connection in (silent, half_a_head):
        connection.close()
    serving = start(data)
    found = stored(data, COLLECTION)
    assert found == batch
    assert_answers(serving.client, COLLECTION, found, np.random.default_rng(seed))


def test_idle_service_refuses_for_a_moment_and_is_gone_soon(start: Start, tmp_path: Path) -> None:
    serving = start(tmp_path / "data")
    idle = Caller(serving.url)
    assert idle.call("GET", "/readyz").status == 200
    os.kill(serving.pid, signal.SIGTERM)
    since = time.monotonic()
    time.sleep(NOTICED_SECONDS)
    assert_refused(Caller(serving.url).call("GET", "/readyz"))
    assert_refused(idle.call("POST", SEARCH, b"{}", JSON))
    head = f"POST {INDEX} HTTP/1.1\nHost: localhost\nContent-Length: {LARGE_BODY_BYTES}\n"
    # Asked whether it wants the body, it does not.
    with start_request(serving.url, f"{head}Expect: 100-continue\n", b"") as asking:
        assert read_to_end(asking).startswith(b"HTTP/1.1 503 ")
    # The end of a body that was sent is not a reset, by which the reply might be lost.
    with start_request(serving.url, head, bytes(LARGE_BODY_BYTES)) as sending:
        assert read_to_end(sending).startswith(b"HTTP/1.1 503 ")
    assert wait_for_end(serving, since) == -signal.SIGTERM
    assert time.monotonic() < since + 3


@pytest.mark.parametrize("reads", [True, False])
def test_large_reply_is_given_whole_to_a_slow_client_and_holds_nothing_up(
    start: Start, tmp_path: Path, reads: bool, seed: int
) -> None:
    serving = start(tmp_path / "data")
    make_collection(serving)
    items = draw(np.random.default_rng(seed), (f"{number:04}" for number in range(2000)), BITS, payload_bytes=20_000)
    for first in range(0, 2000, 500):
        part = dict(list(items.items())[first : first + 500])
        serving.client.post(INDEX, json={"items": as_items(part)}).raise_for_status()
    body = json.dumps({"query": {"code": "0" * 16}, "limit": 2000}).encode()
    head = f"POST /v1/collections/{COLLECTION}/search HTTP/1.1\nHost: localhost\nContent-Length: {len(body)}\n"
    connection = start_request(serving.url, head, body)
    beginning = connection.recv(1000)
    os.kill(serving.pid, signal.SIGTERM)
    since = time.monotonic()
    if reads:
        time.sleep(3)
        matches = json.loads((beginning + read_to_end(connection)).partition(b"\r\n\r\n")[2])["results"]
        assert [(match["distance"], match["id"]) for match in matches] == nearest(bytes(8), items, 2000)
        assert all(match["payload"] == items[match["id"]].payload for match in matches)
    assert wait_for_end(serving, since) == -signal.SIGTERM
    connection.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_write_that_cannot_end_is_cut_off(start: Start, tmp_path: Path, workers: int) -> None:
    data = tmp_path / "data"
    serving = start(data, "--workers", str(workers))
    make_collection(serving)
    item = {"id": "a", "code": "0123456789abcdef"}
    serving.client.post(INDEX, json={"items": [item]}).raise_for_status()
    with closing(sqlite3.connect(data / "hammingway.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        body = json.dumps({"items": [item | {"id": "b"}]}).encode()
        head = f"POST {INDEX} HTTP/1.1\nHost: localhost\nContent-Length: {len(body)}\n"
        waiting = start_request(serving.url, head, body)
        time.sleep(NOTICED_SECONDS)
        os.kill(serving.pid, signal.SIGTERM)
        since = time.monotonic()
        assert_refused(read_reply(waiting))
        waiting.close()
        assert wait_for_end(serving, since) == (1 if workers == 1 else 0)
    # It says what it waited for.
    assert "BEGIN" in serving.log.read_text() or "transaction" in serving.log.read_text()
    start(data)
    assert stored(data, COLLECTION) == {"a": Value(item["code"], None)}


def test_frozen_worker_is_killed(start: Start, tmp_path: Path) -> None:
    serving = start(tmp_path / "data", "--workers", "2")
    children = Path(f"/proc/{serving.pid}/task/{serving.pid}/children").read_text().split()
    worker = next(int(child) for child in children if b"multiprocessing.spawn" in _command(int(child)))
    os.kill(worker, signal.SIGSTOP)
    os.kill(serving.pid, signal.SIGTERM)
    assert wait_for_end(serving, time.monotonic()) == 0
    assert not Path(f"/proc/{worker}").exists()


def test_second_interrupt_stops_at_once(start: Start, tmp_path: Path) -> None:
    serving = start(tmp_path / "data")
    make_collection(serving)
    stuck = start_request(serving.url, f"POST {INDEX} HTTP/1.1\nHost: localhost\nContent-Length: 9\n", b"")
    time.sleep(NOTICED_SECONDS)
    os.kill(serving.pid, signal.SIGINT)
    time.sleep(NOTICED_SECONDS)
    assert_refused(Caller(serving.url).call("GET", "/readyz"))
    os.kill(serving.pid, signal.SIGINT)
    since = time.monotonic()
    assert wait_for_end(serving, since) == 0
    assert time.monotonic() < since + 3
    stuck.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_start_that_fails_has_another_status_than_0(start: Start, tmp_path: Path, workers: str) -> None:
    port = str(urlsplit(start(tmp_path / "data").url).port)
    command = [sys.executable, "-m", "service", "--data", str(tmp_path / "other"), "--port", port, "--workers", workers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "address already in use" in done.stderr.lower()


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()

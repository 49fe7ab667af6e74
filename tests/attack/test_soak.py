"""A soak in which a tenth of all clients leave early, do not read, or send slowly.

After each request that was abandoned, an oracle asks the same kind of thing anew: no answer is stale. Memory and the
WAL stay as they are, the workers are the same ones, and `/livez` answers at once.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from service.settings import Settings
from tests.attack import hostile
from tests.attack.hostile import NDJSON, ask, ask_json, request
from tests.attack.memory_bounds import most_bytes
from tests.attack.watching import Memory, watched_liveness, watched_memory
from tests.faults.conftest import Start
from tests.faults.processes import workers
from tests.faults.truth import DATABASE

BITS = 64
WORKERS = 2
# A tenth of 20.
GOOD, BAD = 18, 2
COLLECTION = "soak"
PATH = f"/v1/collections/{COLLECTION}"
ITEMS, LONG_ITEMS = 20_000, 100_000
WARM_UP_SECONDS, SECONDS = 3.0, 12.0
LONG_WARM_UP_SECONDS, LONG_SECONDS = 180.0, 720.0
# Between the requests of a good client: the service is busy, but not at its limit, as `/livez` is timed.
PAUSE_SECONDS = 0.25
# Pairs of base items that have one code, which every `duplicates` within 0 has to list.
BASE_PAIRS = 20
MAX_HELD_BYTES = 128 * 2**20
MOST_GROWTH_BYTES = 64 * 2**20
# What the requests of this test reach of the limits.
BOUNDS = ("max_held_bytes", "max_values", "max_unsent_bytes", "max_matches")
MOST_WAL_BYTES = 64 * 2**20
LIVE_P99_SECONDS = 0.1
# New connections reach any worker: so many reach each of two with a probability of 0.998.
LOOKS = 10
OPTIONS = ("--workers", str(WORKERS), "--max-held-bytes", str(MAX_HELD_BYTES), "--log-level", "warning")


class Client:
    """Writes a pair of items that have one code, looks for it in every way, deletes it, and looks again."""

    def __init__(self, url: str, number: int, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._url = url
        self._number = number
        self._random = np.random.default_rng([seed, number])

    def run(self, stop: threading.Event) -> None:
        """Go on until told to stop."""
        while not stop.is_set():
            self.turn(stop)

    def turn(self, stop: threading.Event) -> None:
        """One pair from its beginning to its end."""
        ids, code = self._pair()
        self.write(ids, code)
        for look in self._random.permutation(np.array(self.looks(), object)):
            look(ids, code, True)
            if stop.wait(PAUSE_SECONDS * self._random.random() * 2):
                break
        self.delete(ids)
        self._choose(self.looks())(ids, code, False)

    def looks(self) -> list[Callable[[list[str], str, bool], None]]:
        """All ways to look for a pair."""
        return [self.search, self.search_filtered, self.page, self.get]

    def write(self, ids: list[str], code: str) -> None:
        """Index the pair."""
        items = [{"id": item_id, "code": code, "payload": {"pair": ids[0]}} for item_id in ids]
        reply = ask_json(self._url, "POST", f"{PATH}/index", {"items": items})
        assert reply == {"indexed": 2}
        self.counts["writes"] += 1

    def delete(self, ids: list[str]) -> None:
        """Delete the pair, by its ids or by a filter."""
        body = {"ids": ids} if self._random.random() < 0.5 else {"filter": {"pair": ids[0]}}
        assert ask_json(self._url, "POST", f"{PATH}/delete", body) == {"deleted": 2}
        self.counts["deletes"] += 1

    def search(self, ids: list[str], code: str, there: bool) -> None:
        """By the code itself."""
        self._found(ids, there, {"query": {"code": code}, "max_distance": 0})

    def search_filtered(self, ids: list[str], code: str, there: bool) -> None:
        """By the code, with a filter that no other client uses."""
        self._found(ids, there, {"query": {"code": code}, "limit": 5, "filter": {"pair": ids[0]}})

    def page(self, ids: list[str], code: str, there: bool) -> None:
        """The first page, on which all pairs are: their ids come before those of the other items."""
        reply = ask_json(self._url, "GET", f"{PATH}/items?limit=200")
        assert [each["id"] for each in reply["items"] if each["id"] in ids] == (ids if there else [])
        self.counts["pages"] += 1

    def get(self, ids: list[str], code: str, there: bool) -> None:
        """One of the two items."""
        reply = ask_json(self._url, "GET", f"{PATH}/items/{ids[1]}", expected=200 if there else 404)
        assert not there or (reply["id"], reply["code"]) == (ids[1], code)
        self.counts["gets"] += 1

    def duplicates(self, ids: list[str], code: str, there: bool) -> None:
        """All groups within 0: the pair's own, and those of the base items."""
        groups = _groups(self._url)
        assert [group for group in groups if group[0] in ids] == ([ids] if there else []), f"stale: {ids} {there}"
        assert [group for group in groups if group[0].startswith("base")] == BASE_GROUPS
        self.counts["duplicates"] += 1

    def _found(self, ids: list[str], there: bool, body: dict[str, Any]) -> None:
        reply = ask_json(self._url, "POST", f"{PATH}/search", body)
        assert [match["id"] for match in reply["results"]] == (ids if there else [])
        self.counts["searches"] += 1

    def _pair(self) -> tuple[list[str], str]:
        self.counts["pairs"] += 1
        stem = f"!{self._number:02}-{self.counts['pairs']:06}"
        return [f"{stem}-a", f"{stem}-b"], self._random.bytes(BITS // 8).hex()

    def _choose(self, among: list[Any]) -> Any:
        return among[int(self._random.integers(len(among)))]


class BadClient(Client):
    """Abandons a request in one of the ways there are; then is the oracle, by connections to all workers."""

    def turn(self, stop: threading.Event) -> None:
        """One request that is abandoned, and all looks for a pair that was written after it."""
        self._choose([self._leave, self._leave, self._do_not_read, self._send_slowly])()
        ids, code = self._pair()
        self.write(ids, code)
        self._look_again_and_again(stop, ids, code, True)
        for look in self.looks() * 2:
            look(ids, code, True)
        self.delete(ids)
        self._look_again_and_again(stop, ids, code, False)
        self.search(ids, code, False)
        self.page(ids, code, False)

    def _look_again_and_again(self, stop: threading.Event, ids: list[str], code: str, there: bool) -> None:
        for _ in range(LOOKS):
            self.duplicates(ids, code, there)
            if stop.is_set():
                break

    def _leave(self) -> None:
        sent = self._choose(
            [
                *[request("POST", f"{PATH}/duplicates", {"max_distance": 0})] * 4,
                request("POST", f"{PATH}/duplicates", {"max_distance": 4}),
                request("GET", f"{PATH}/items?limit=10000"),
                request("POST", f"{PATH}/search", _many_queries(1000)),
                request("POST", f"{PATH}/search", self._new_filter()),
                request("POST", f"{PATH}/snapshots"),
                request("GET", f"{PATH}/stats?codes=true"),
                request("POST", f"{PATH}/index", _lines(20_000), NDJSON)[:-100],
            ]
        )
        hostile.leave(self._url, sent, float(self._random.random() ** 2) * 0.5)
        self.counts["left early"] += 1

    def _do_not_read(self) -> None:
        sent = self._choose(
            [
                request("POST", f"{PATH}/search", _many_queries(1000)),
                request("GET", f"{PATH}/items?limit=10000"),
                request("POST", f"{PATH}/duplicates", {"max_distance": 0}),
                request("GET", f"{PATH}/items?limit=1000") * 20,
            ]
        )
        hostile.do_not_read(self._url, sent, float(self._random.random()) * 2)
        self.counts["not read"] += 1

    def _send_slowly(self) -> None:
        sent = self._choose(
            [
                request("POST", f"{PATH}/search", _many_queries(20)),
                request("POST", f"{PATH}/index", _lines(200), NDJSON),
                request("POST", f"{PATH}/duplicates", {"max_distance": 0}),
            ]
        )
        hostile.send_slowly(self._url, sent, 1 + float(self._random.random()), 50)
        self.counts["sent slowly"] += 1

    def _new_filter(self) -> dict[str, Any]:
        return {"query": {"code": "00" * (BITS // 8)}, "filter": {"number": {"gte": int(self._random.integers(2**40))}}}


BASE_GROUPS = [[f"base-{2 * number:07}", f"base-{2 * number + 1:07}"] for number in range(BASE_PAIRS)]


def _groups(url: str) -> list[list[str]]:
    """The groups of all duplicates within 0, asked until the service has room for it."""
    while True:
        status, content = ask(url, "POST", f"{PATH}/duplicates", {"max_distance": 0})
        if status != 429:
            break
        time.sleep(0.02)
    assert status == 200, content[:500]
    return [[item["id"] for item in orjson.loads(line)["items"]] for line in content.splitlines()]


def _many_queries(count: int) -> dict[str, Any]:
    return {"queries": [{"code": f"{number:016x}"} for number in range(count)], "limit": 100}


def _lines(count: int) -> bytes:
    """Items that are always the same ones."""
    return b"".join(b'{"id": "zz-%06d", "code": "%016x"}\n' % (number, number) for number in range(count))


def _fill(url: str, count: int) -> None:
    random = np.random.default_rng(0)
    codes = [random.bytes(BITS // 8).hex() for _ in range(count)]
    for number in range(BASE_PAIRS):
        codes[2 * number + 1] = codes[2 * number]
    items = (
        orjson.dumps({"id": f"base-{number:07}", "code": code, "payload": {"number": number, "text": "x" * 100}})
        for number, code in enumerate(codes)
    )
    status, content = ask(url, "POST", f"{PATH}/index", b"\n".join(items), NDJSON)
    assert (status, orjson.loads(content)["indexed"]) == (200, count), content[:500]


def _run(clients: list[Client], seconds: float) -> None:
    """All at once for so long; the first error ends it."""
    stop = threading.Event()

    def run(client: Client) -> None:
        try:
            client.run(stop)
        finally:
            stop.set()

    with ThreadPoolExecutor(len(clients)) as threads:
        running = [threads.submit(run, client) for client in clients]
        stop.wait(seconds)
        stop.set()
    for each in running:
        each.result()


def _send_largest(url: str) -> None:
    sent = request("POST", f"{PATH}/search", _many_queries(1000))
    with ThreadPoolExecutor(4 * WORKERS) as threads:
        for _ in range(10 * WORKERS):
            threads.submit(hostile.do_not_read, url, sent, 1.0)


def _rested(memory: Memory) -> int:
    """Resident memory while nobody asks for anything."""
    time.sleep(2)
    return memory.now()


@pytest.mark.timeout(1800)
def test_a_tenth_of_all_clients_misbehaves_and_nobody_else_notices(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    serving = start(tmp_path / "data", *OPTIONS)
    serving.client.put(PATH, json={"bits": BITS}).raise_for_status()
    _fill(serving.url, LONG_ITEMS if long else ITEMS)
    # Those of the slow and the unfinished imports, there from the start: their codes are no duplicates.
    ask(serving.url, "POST", f"{PATH}/index", _lines(20_000), NDJSON)
    assert _groups(serving.url) == BASE_GROUPS
    began_with = workers(serving.pid)
    clients: list[Client] = [Client(serving.url, number, seed) for number in range(GOOD)]
    clients += [BadClient(serving.url, GOOD + number, seed) for number in range(BAD)]
    wal = tmp_path / "data" / f"{DATABASE}-wal"
    most_wal = 0
    with watched_memory(serving.pid) as memory, watched_liveness(serving.url) as liveness:
        # Every thread of every worker meets the largest reply: Python keeps the heap that it needed once.
        _send_largest(serving.url)
        _run(clients, LONG_WARM_UP_SECONDS if long else WARM_UP_SECONDS)
        warm = _rested(memory)
        for _ in range(12):
            _run(clients, (LONG_SECONDS if long else SECONDS) / 12)
            most_wal = max(most_wal, wal.stat().st_size)
        after = _rested(memory)
    counts = sum((client.counts for client in clients), Counter())
    print(f"{dict(counts)}")
    print(f"memory: {memory.before / 2**20:.0f} MiB before, {warm / 2**20:.0f} warm, {after / 2**20:.0f} after, ")
    print(f"{memory.peak / 2**20:.0f} at most; WAL {most_wal / 2**20:.1f} MiB at most")
    print(
        f"/livez: {len(liveness.seconds)} answers, median {1000 * liveness.percentile(0.5):.1f} ms, "
        f"p99 {1000 * liveness.percentile(0.99):.1f} ms, longest {1000 * liveness.longest:.1f} ms"
    )
    assert all(counts[kind] for kind in ("left early", "not read", "sent slowly", "duplicates", "pages", "searches"))
    assert not liveness.failures
    assert workers(serving.pid) == began_with
    assert most_wal <= MOST_WAL_BYTES
    # In seconds not every thread has met its largest request: memory is still on its way to where it stays.
    assert after - warm <= (MOST_GROWTH_BYTES if long else WORKERS * MOST_GROWTH_BYTES)
    assert memory.grown <= WORKERS * most_bytes(Settings(max_held_bytes=MAX_HELD_BYTES), *BOUNDS)
    assert liveness.percentile(0.99) <= (LIVE_P99_SECONDS if long else 1.0)
    # Nothing of what was abandoned is left open.
    assert _groups(serving.url) == BASE_GROUPS

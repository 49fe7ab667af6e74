"""Clients that leave in the middle of any read change no later answer, and do not keep the WAL from being emptied."""

import json
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.collections.embedded import EmbeddedMoments
from service.jobs import watching
from service.settings import Settings
from service.store import reader, snapshots
from service.store.schema import CollectionRow
from tests.faults.conftest import Start
from tests.recoding.made import add_version
from tests.serving import client_of, running

ITEMS = 20_000
# In the database of the real service, where nothing is slowed down.
MANY_ITEMS = 1_000_000
AT_ONCE = 10_000
PATH = "/v1/collections/c"
RECODED = "/v1/collections/recoded"
ROUNDS = 3
WAL_BYTES = 64 * 2**20
PATIENCE_SECONDS = 60


@dataclass
class Service:
    """A service under attack, and the pairs of equal codes that were indexed so far."""

    client: httpx.Client
    database: Path
    random: random.Random
    pairs: int = 0

    def leave(self, method: str, path: str, longest: float, **request: Any) -> None:
        """Ask, and close the connection at a random moment; an answer that comes before has to be a good one."""
        timeout = httpx.Timeout(10, read=self.random.uniform(0, longest))
        with client_of(self.client.base_url, timeout=timeout) as leaving, suppress(httpx.ReadTimeout):
            reply = leaving.request(method, path, **request)
            assert reply.status_code in (200, 201, 202, 429), reply.text

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Ask until there is a place: runs that nobody waits for end soon."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (reply := self.client.post(path, json=body)).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return reply

    def require_current_answers(self) -> None:
        """Assert that each kind of read shows two items that are indexed now, and all pairs before them."""
        self.pairs += 1
        code, ids = f"ffff{self.pairs:012x}", [f"pair {self.pairs:05} {side}" for side in "ab"]
        items = [{"id": item, "code": code, "payload": {"pair": self.pairs}} for item in ids]
        assert self.client.post(f"{PATH}/index", json={"items": items}).status_code == 200
        found = self.post(f"{PATH}/duplicates", max_distance=0)
        assert found.status_code == 200, found.text
        groups = [[item["id"] for item in json.loads(line)["items"]] for line in found.text.splitlines()]
        expected = [[f"pair {number:05} {side}" for side in "ab"] for number in range(1, self.pairs + 1)]
        assert groups == expected, "duplicates are of an earlier moment"
        page = self.client.get(f"{PATH}/items", params={"filter": json.dumps({"pair": self.pairs}), "limit": 1000})
        last = page
        while last.json()["cursor"] is not None:
            last = self.client.get(f"{PATH}/items", params={**page.url.params, "cursor": last.json()["cursor"]})
        assert [item["id"] for item in last.json()["items"]] == ids, "pages are of an earlier moment"
        for condition in (None, {"pair": {"gte": self.pairs}}):
            body = {"queries": [{"code": code}], "limit": 2, **({"filter": condition} if condition else {})}
            matches = self.client.post(f"{PATH}/search", json=body).json()["results"][0]
            assert [match["id"] for match in matches] == ids, "searches are of an earlier moment"

    def require_wal_can_be_emptied(self) -> None:
        """Assert that no read is left open: work that nobody waits for ends soon."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with closing(sqlite3.connect(self.database, timeout=0)) as other:
            while other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                assert time.monotonic() < deadline, "the WAL is still read"
                time.sleep(0.05)


@pytest.fixture(scope="module")
def service(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that reads slowly, and tells of its jobs at once."""
    folder = tmp_path_factory.mktemp("abandoned")
    (folder / "hashers" / "vectors@1").mkdir(parents=True)
    for file in (hashers / "vectors@1").iterdir():
        os.link(file, folder / "hashers" / "vectors@1" / file.name)
    add_version(folder / "hashers", "vectors@1", 2)
    blocks = reader._blocks

    def slow_blocks(rows: Any) -> Iterator[Any]:
        for block in blocks(rows):
            time.sleep(0.001)
            yield block

    with pytest.MonkeyPatch.context() as patched:
        for name in ("FROM_SECONDS", "LOOK_SECONDS", "NOTED_EACH_SECONDS"):
            patched.setattr(watching, name, 0.02)
        patched.setattr(reader, "BLOCK_ROWS", 100)
        patched.setattr(reader, "_blocks", slow_blocks)
        patched.setattr(snapshots, "BATCH_ROWS", 100)
        settings = Settings(hashers=folder / "hashers", data=folder / "data")
        with running(settings) as client:
            _fill(client, ITEMS)
            client.put(RECODED, json={"hasher": "vectors@1", "keep_documents": True}).raise_for_status()
            vectors = [{"id": f"v{number:05}", "vector": [number % 7, *range(11)]} for number in range(3000)]
            client.post(f"{RECODED}/index", json={"items": vectors}).raise_for_status()
            yield Service(client, settings.database, random.Random(18))


def _fill(client: httpx.Client, items: int) -> None:
    client.put(PATH, json={"bits": 64}).raise_for_status()
    for start in range(0, items, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, items))
        body = [{"id": f"i{number:07}", "code": f"{number:016x}", "payload": {"n": number}} for number in numbers]
        client.post(f"{PATH}/index", json={"items": body}).raise_for_status()


def _leave_duplicates(service: Service) -> None:
    service.leave("POST", f"{PATH}/duplicates", 0.3, json={"max_distance": 0})


def _leave_pages(service: Service) -> None:
    service.leave("GET", f"{PATH}/items", 0.02, params={"limit": 1000, "filter": '{"pair": 1}'})


def _leave_searches(service: Service) -> None:
    condition = {"n": {"gt": service.random.randrange(ITEMS)}, "pair": {"exists": False}}
    body = {"query": {"code": "f" * 16}, "limit": 10, "filter": condition}
    service.leave("POST", f"{PATH}/search", 0.02, json=body)


def _leave_snapshots(service: Service) -> None:
    service.leave("POST", f"{PATH}/snapshots", 0.3)


def _cancel_jobs(service: Service) -> None:
    """Cancel duplicates and a snapshot at a random moment."""
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(service.post, f"{PATH}/duplicates", max_distance=0)
        service.client.post(f"{PATH}/snapshots", headers={"Prefer": "respond-async"}).raise_for_status()
        time.sleep(service.random.uniform(0.03, 0.2))
        for job in service.client.get("/v1/jobs", params={"collection": "c", "state": "running"}).json()["jobs"]:
            assert service.client.post(f"/v1/jobs/{job['id']}/cancel").status_code in (200, 409)
        assert asked.result().status_code in (200, 409)


def _rebuild_index(service: Service) -> None:
    """Have the ids read in the background for another index, which is given up for the one before."""
    for index in ({"kind": "ivf", "lists": 16}, {"kind": "flat"}):
        service.client.patch(PATH, json={"index": index}).raise_for_status()
        time.sleep(service.random.uniform(0, 0.1))


def _roll_recoding_back(service: Service) -> None:
    """End a re-coding between two of its batches, or within one."""
    service.client.post(f"{RECODED}/recode", json={"hasher": "vectors@2"}).raise_for_status()
    time.sleep(service.random.uniform(0, 0.3))
    service.client.post(f"{RECODED}/recode/rollback").raise_for_status()
    assert service.client.get(RECODED).json()["hasher"] == "vectors@1"


Attack = Callable[[Service], None]
ATTACKS: tuple[Attack, ...] = (
    _leave_duplicates,
    _leave_pages,
    _leave_searches,
    _leave_snapshots,
    _cancel_jobs,
    _rebuild_index,
    _roll_recoding_back,
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_later_answers_are_of_now(service: Service, attack: Attack) -> None:
    for _ in range(ROUNDS):
        attack(service)
        service.require_current_answers()
    service.require_wal_can_be_emptied()


def test_later_answers_are_of_now_when_many_leave_at_once(service: Service) -> None:
    with ThreadPoolExecutor(4) as threads:
        leaving = (_leave_duplicates, _leave_pages, _leave_searches, _leave_snapshots)
        for left in [threads.submit(attack, service) for attack in leaving * 4]:
            left.result()
    service.require_current_answers()
    service.require_wal_can_be_emptied()


def test_duplicates_beside_a_delete_say_what_happened(service: Service) -> None:
    """All of the collection as it was, or that it is unknown: nothing is said of a re-coding that never was."""
    path = "/v1/collections/deleted"
    statuses = set()
    for number in range(12):
        service.client.put(path, json={"bits": 64}).raise_for_status()
        items = [{"id": f"i{each}", "code": "0" * 16} for each in range(2000)]
        service.client.post(f"{path}/index", json={"items": items}).raise_for_status()
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(service.post, f"{path}/duplicates", max_distance=0)
            time.sleep(number * 0.003)
            assert service.client.delete(path).status_code == 204
            reply = asked.result()
        statuses.add(reply.status_code)
        if reply.status_code == 200:
            (group,) = [json.loads(line) for line in reply.text.splitlines()]
            assert len(group["items"]) == len(items)
        else:
            assert (reply.status_code, reply.json()["title"]) == (404, "Unknown collection")
    assert statuses <= {200, 404}


@pytest.mark.parametrize("ends", ["switched", "finished", "deleted", "made anew"])
def test_duplicates_are_asked_again_of_the_collection_that_has_the_name(
    service: Service, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Between the moment that is read and the look at the name, the name goes to the new codes, or is gone."""
    path, client, is_named, looks = "/v1/collections/between", service.client, EmbeddedMoments._is_named, count()
    client.put(path, json={"hasher": "vectors@1", "keep_documents": True}).raise_for_status()
    items = [{"id": item, "vector": [1.0] * 12} for item in "ab"]
    client.post(f"{path}/index", json={"items": items}).raise_for_status()
    if ends in ("switched", "finished"):
        client.post(f"{path}/recode", json={"hasher": "vectors@2", "switch": "manual"}).raise_for_status()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while client.get(f"{path}/recode").json()["stage"] != "ready":
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def changed_before(moments: EmbeddedMoments, row: CollectionRow) -> bool:
        if next(looks) == 0:
            if ends in ("switched", "finished"):
                client.post(f"{path}/recode/switch").raise_for_status()
                if ends == "finished":
                    client.post(f"{path}/recode/finish").raise_for_status()
            else:
                client.delete(path).raise_for_status()
                if ends == "made anew":
                    client.put(path, json={"bits": 8}).raise_for_status()
                    client.post(f"{path}/index", json={"items": [{"id": c, "code": "00"} for c in "xy"]})
        return is_named(moments, row)

    monkeypatch.setattr(EmbeddedMoments, "_is_named", changed_before)
    reply = service.post(f"{path}/duplicates", max_distance=0)
    if ends == "deleted":
        assert (reply.status_code, reply.json()["title"]) == (404, "Unknown collection")
        assert "'between'" in reply.json()["detail"]
        return
    assert reply.status_code == 200, reply.text
    (group,) = [json.loads(line) for line in reply.text.splitlines()]
    assert [item["id"] for item in group["items"]] == (list("xy") if ends == "made anew" else list("ab"))
    client.delete(path).raise_for_status()


@pytest.mark.timeout(3600)
def test_a_million_items_and_clients_that_leave(start: Start, tmp_path: Path, long: bool, seed: int) -> None:
    if not long:
        pytest.skip("several minutes: --long")
    process = start(tmp_path / "data")
    database = tmp_path / "data" / "hammingway.sqlite"
    wal = database.with_name(f"{database.name}-wal")
    _fill(process.client, MANY_ITEMS)
    service = Service(process.client, database, random.Random(seed))
    for _ in range(10):
        for attack in (_leave_duplicates, _leave_pages, _leave_searches, _leave_snapshots):
            attack(service)
        # The client's own patience is a minute, and two runs may be left to end.
        service.require_current_answers()
        assert wal.stat().st_size < WAL_BYTES
    service.require_wal_can_be_emptied()

"""SIGKILL at random moments under mixed writes: what was acknowledged is there, what was not is whole or absent."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.http.requests.ndjson import BATCH_LINES
from tests.faults.conftest import Start
from tests.faults.known import Batch, Known, Value, as_items, draw
from tests.faults.truth import assert_answers, stored
from tests.serving import client_of

BITS = {"narrow": 32, "wide": 128}
# Ids of each writer in each collection: batches replace some, and add some.
FEW_IDS, MANY_IDS = 400, 3000
KILLS, LONG_KILLS = 50, 500
SHORTEST_SECONDS, LONGEST_SECONDS = 0.05, 0.35
NDJSON = {"Content-Type": "application/x-ndjson"}


class Writer:
    """Upserts, imports and deletes items of its own until it is cut off; one thread at a time."""

    def __init__(self, name: str, ids: int, kinds: list[str], seed: list[int]) -> None:
        self.known = {collection: Known() for collection in BITS}
        self.acknowledged: Counter[str] = Counter()
        self._ids = [f"{name}-{number}" for number in range(ids)]
        self._kinds = kinds
        self._random = np.random.default_rng(seed)

    def write(self, url: str) -> None:
        """Write until the service is gone."""
        with client_of(url, timeout=30) as client:
            while True:
                kind = str(self._random.choice(self._kinds))
                collection = str(self._random.choice(list(BITS)))
                known = self.known[collection]
                try:
                    getattr(self, f"_{kind}")(client, f"/v1/collections/{collection}", known, BITS[collection])
                except httpx.TransportError:
                    return
                known.acknowledge()
                self.acknowledged[kind] += 1

    def owned(self, found: dict[str, Value]) -> dict[str, Value]:
        """Of what was found, what only this writer writes."""
        return {item_id: found[item_id] for item_id in self._ids if item_id in found}

    def _upsert(self, client: httpx.Client, path: str, known: Known, bits: int) -> None:
        values = draw(self._random, self._some(), bits)
        known.begin([dict(values)])
        _expect(client.post(f"{path}/index", json={"items": as_items(values)}), {"indexed": len(values)})

    def _import(self, client: httpx.Client, path: str, known: Known, bits: int) -> None:
        values = list(draw(self._random, self._some(), bits).items())
        known.begin([dict(values[first : first + BATCH_LINES]) for first in range(0, len(values), BATCH_LINES)])
        lines = "\n".join(map(json.dumps, as_items(dict(values))))
        reply = client.post(f"{path}/index", content=lines, headers=NDJSON)
        _expect(reply, {"indexed": len(values), "rejected": []})

    def _delete_one(self, client: httpx.Client, path: str, known: Known, bits: int) -> None:
        item_id = str(self._random.choice(self._ids))
        known.begin([{item_id: None}])
        reply = client.delete(f"{path}/items/{item_id}")
        if item_id in known.items:
            _expect(reply, {"deleted": 1})
        else:
            assert reply.status_code == 404, reply.text

    def _delete_many(self, client: httpx.Client, path: str, known: Known, bits: int) -> None:
        batch: Batch = dict.fromkeys(self._some())
        known.begin([batch])
        there = len(batch.keys() & known.items.keys())
        _expect(client.post(f"{path}/delete", json={"ids": list(batch)}), {"deleted": there})

    def _some(self) -> list[str]:
        # Mostly few, sometimes nearly all.
        count = 1 + int(self._random.random() ** 4 * len(self._ids))
        return [str(item_id) for item_id in self._random.choice(self._ids, count, replace=False)]


def _expect(reply: httpx.Response, content: dict[str, object]) -> None:
    assert (reply.status_code, reply.json()) == (200, content)


@pytest.mark.timeout(1800)
def test_kills_lose_nothing_and_leave_nothing_half_done(start: Start, tmp_path: Path, long: bool, seed: int) -> None:
    kills = LONG_KILLS if long else KILLS
    random = np.random.default_rng(seed)
    mixed = ["upsert", "import", "delete_one", "delete_many"]
    writers = [
        Writer("a", FEW_IDS, mixed, [seed, 0]),
        Writer("b", FEW_IDS, mixed, [seed, 1]),
        Writer("c", MANY_IDS, ["import", "import", "delete_many"], [seed, 2]),
    ]
    data = tmp_path / "data"
    cut: Counter[str] = Counter()
    compared = 0
    for life in range(kills + 1):
        # Every fifth time with two processes, which take turns at writing.
        serving = start(data, "--workers", "2" if life % 5 == 4 else "1")
        for collection, bits in BITS.items():
            serving.client.put(f"/v1/collections/{collection}", json={"bits": bits}).raise_for_status()
            found = stored(data, collection)
            for writer in writers:
                batches = len(writer.known[collection].under_way)
                written = writer.known[collection].settle(writer.owned(found))
                if batches:
                    cut["absent" if not written else "whole" if written == batches else "its first batches"] += 1
            assert len(found) == sum(len(writer.known[collection].items) for writer in writers)
            compared += assert_answers(serving.client, collection, found, random)
        if life == kills:
            break
        with ThreadPoolExecutor(len(writers)) as threads:
            writing = [threads.submit(writer.write, serving.url) for writer in writers]
            time.sleep(random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
            serving.kill()
            for thread in writing:
                thread.result()
    acknowledged = sum((writer.acknowledged for writer in writers), Counter())
    print(f"{kills} kills; acknowledged: {dict(acknowledged)}; cut off: {dict(cut)}; {compared} replies compared")
    assert sum(cut.values()) >= kills
    assert all(acknowledged[kind] for kind in mixed)

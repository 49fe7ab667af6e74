"""How collections are searched: exact and IVF, changed to and fro, while items come and go."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from models.codes import hamming, to_hex

BITS = 64
ITEMS = 12_000
LONG = 60
NDJSON = {"Content-Type": "application/x-ndjson"}
# A row in memory: code, sequence number, epoch, place in the order of ids; in the IVF index code and sequence number.
ROW_BYTES, IVF_ROW_BYTES = 8 + 8 + 4 + 4, 8 + 8
Pairs = list[tuple[int, str]]


def clustered(number: int, seed: int) -> np.ndarray:
    """Each one of 60 centres with a tenth of its bits flipped."""
    centres = np.random.default_rng(1).integers(0, 256, (60, BITS // 8), dtype=np.uint8)
    rng = np.random.default_rng(seed)
    return centres[rng.integers(0, len(centres), number)] ^ np.packbits(rng.random((number, BITS)) < 0.1, axis=1)


@dataclass
class Held:
    """A collection, and what it is to hold: codes by id."""

    client: httpx.Client
    name: str
    codes: dict[str, np.ndarray]

    def index(self, codes: dict[str, np.ndarray]) -> None:
        lines = [
            f'{{"id": "{key}", "code": "{to_hex(code)}", "payload": {{"n": {int(code[0])}}}}}'
            for key, code in codes.items()
        ]
        reply = self.client.post(f"{self.path}/index", content="\n".join(lines), headers=NDJSON)
        assert reply.json() == {"indexed": len(codes), "rejected": []}
        self.codes |= codes

    def delete(self, ids: list[str]) -> None:
        assert self.client.post(f"{self.path}/delete", json={"ids": ids}).json() == {"deleted": len(ids)}
        for key in ids:
            del self.codes[key]

    @property
    def path(self) -> str:
        return f"/v1/collections/{self.name}"

    def change(self, **index: object) -> None:
        reply = self.client.patch(self.path, json={"index": index})
        assert reply.status_code == 200, reply.text
        assert reply.json()["index"] == index
        assert self.client.get(self.path).json() == reply.json()

    def stats(self) -> dict[str, Any]:
        told: dict[str, Any] = self.client.get(f"{self.path}/stats").json()
        return told

    def ready(self, indexed: int, lists: int | None = None, kind: str = "ivf") -> dict[str, Any]:
        """Statistics once an index over so many items (and with so many lists, if given) is there."""
        deadline = time.monotonic() + LONG
        while (told := self.stats())["index"].get("indexed") != indexed or lists not in (None, told["index"]["lists"]):
            assert time.monotonic() < deadline, told
            time.sleep(0.02)
        assert told["index"]["state"] == "ready" and told["index"]["kind"] == kind
        return told

    def search(self, codes: np.ndarray, **request: object) -> list[Pairs]:
        body = {"queries": [{"code": to_hex(code)} for code in codes], **request}
        reply = self.client.post(f"{self.path}/search", json=body)
        assert reply.status_code == 200, reply.text
        return [[(match["distance"], match["id"]) for match in each] for each in reply.json()["results"]]

    def nearest(self, codes: np.ndarray, limit: int = 10, most: int = 255) -> list[Pairs]:
        """Brute force; `most` is the largest first byte of a code that a filter lets through."""
        ids = sorted(key for key, code in self.codes.items() if code[0] <= most)
        distances = hamming(codes, np.stack([self.codes[key] for key in ids]))
        # Stable: of equal distances the first id comes first.
        first = np.argsort(distances, axis=1, kind="stable")[:, :limit]
        return [
            [(int(row[place]), ids[place]) for place in places.tolist()]
            for row, places in zip(distances, first, strict=True)
        ]

    def recall(self, codes: np.ndarray) -> float:
        """Of what an approximate search finds, each as far as it says: the share that is as near as the tenth."""
        shares = []
        for code, found, true in zip(codes, self.search(codes), self.nearest(codes), strict=True):
            assert len(found) == 10 and found == sorted(found) and len({key for _, key in found}) == 10
            held = np.stack([self.codes[key] for _, key in found])
            assert [distance for distance, _ in found] == hamming(code[None], held)[0].tolist()
            shares.append(sum(distance <= true[-1][0] for distance, _ in found) / 10)
        return float(np.mean(shares))


QUERIES = clustered(100, 9)


def named(codes: np.ndarray, first: int = 0) -> dict[str, np.ndarray]:
    """Ids whose order has nothing to do with the items'."""
    return {f"{number * 7919 % 100_003:06}": code for number, code in enumerate(codes, first)}


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    return clustered(ITEMS, 2)


@pytest.fixture(scope="module")
def big(client: httpx.Client, codes: np.ndarray) -> Iterator[Held]:
    """12,000 codes in a collection that was made for IVF, which is built by the time it is yielded."""
    body = {"bits": BITS, "index": {"kind": "ivf"}}
    made = client.put("/v1/collections/big", json=body)
    assert made.status_code == 201
    assert made.json()["index"] == {"kind": "ivf"}
    held = Held(client, "big", {})
    held.index(named(codes))
    held.ready(ITEMS)
    yield held


def test_automatic_settings_are_told_and_so_is_the_recall_that_searches_have(big: Held) -> None:
    told = big.stats()
    index = told.pop("index")
    memory = ITEMS * (ROW_BYTES + IVF_ROW_BYTES) + 128 * 8
    assert told == {"name": "big", "count": ITEMS, "bits": BITS, "removed": 0, "memory_bytes": memory}
    recall, probes = index.pop("recall"), index.pop("probes")
    # 2^7 is the power of two next to the square root of 12,000.
    assert index == {"kind": "ivf", "state": "ready", "lists": 128, "indexed": ITEMS, "recall_sample": 500}
    assert 0.96 <= recall <= 1 and 1 <= probes < 128 and probes.bit_count() == 1
    assert abs(big.recall(QUERIES) - recall) < 0.04


def test_exact_passes_by_the_index_and_so_does_every_filter(big: Held) -> None:
    for limit in (1, 10, 600):
        assert big.search(QUERIES[:20], limit=limit, exact=True) == big.nearest(QUERIES[:20], limit)
    for most in (3, 120, 255):
        for _ in range(2):
            assert big.search(QUERIES[:20], filter={"n": {"lte": most}}) == big.nearest(QUERIES[:20], 10, most)
    within = [[pair for pair in each if pair[0] <= 9] for each in big.nearest(QUERIES[:20], ITEMS)]
    assert big.search(QUERIES[:20], max_distance=9, exact=True) == within


def test_exact_before_and_while_it_is_built_and_again_when_it_is_wanted_no_more(
    client: httpx.Client, codes: np.ndarray
) -> None:
    assert client.put("/v1/collections/turned", json={"bits": BITS}).status_code == 201
    held = Held(client, "turned", {})
    held.index(named(codes))
    some = QUERIES[:5]
    expected = held.nearest(some)
    assert held.search(some) == expected
    assert held.stats()["index"] == {"kind": "flat", "state": "exact"}
    for lists, probes in ((32, 1), (100, 100)):
        held.change(kind="ivf", lists=lists, probes=probes)
        states = set()
        while True:
            found, told = held.search(some), held.stats()["index"]
            states.add(told["state"])
            if told["state"] == "ready":
                break
            # It was not there yet when it was searched.
            assert found == expected and told["kind"] == "ivf"
        assert states <= {"exact", "building", "ready"}
        told = held.ready(ITEMS)["index"]
        assert (told["lists"], told["probes"]) == (lists, probes)
        assert abs(held.recall(QUERIES) - told["recall"]) < 0.08
        assert (told["recall"] == 1) is (probes == lists)
    # Every list is looked into.
    assert held.search(QUERIES) == held.nearest(QUERIES)
    held.change(kind="ivf", lists=300)
    while held.stats()["index"]["state"] == "exact":
        pass
    # Wanted no more, whether or not it is built yet.
    held.change(kind="flat")
    assert held.stats()["index"] == {"kind": "flat", "state": "exact"}
    assert held.stats()["memory_bytes"] == ITEMS * ROW_BYTES
    assert held.search(QUERIES) == held.nearest(QUERIES)


def test_what_comes_and_goes_after_the_build_is_seen_at_once(client: httpx.Client) -> None:
    assert client.put("/v1/collections/busy", json={"bits": BITS, "index": {"kind": "ivf", "lists": 64, "probes": 64}})
    held = Held(client, "busy", {})
    held.index(named(clustered(10_000, 3)))
    held.ready(10_000)
    some = QUERIES[:10]
    assert held.search(some) == held.nearest(some)
    # Replaced by another code, by the very code that is asked for, and new.
    for each in held.nearest(some, 2):
        held.index({each[0][1]: ~held.codes[each[0][1]]})
    held.index({f"new {number}": code for number, code in enumerate(some)})
    held.index(dict.fromkeys(list(held.codes)[:30:10], some[0]))
    assert held.search(some) == held.nearest(some)
    assert [each[0][0] for each in held.search(some)] == [0] * len(some)
    gone = {key for each in held.nearest(some, 8) for _, key in each}
    held.delete(sorted(gone))
    assert held.search(some) == held.nearest(some)
    # One index is still in use, over the items of before; every replaced and deleted row is a dead one.
    told = held.stats()
    assert told["index"]["indexed"] == 10_000
    assert told["count"] == len(held.codes)
    rows = told["count"] + told["removed"]
    assert rows == 10_000 + 10 + 10 + 3
    assert told["memory_bytes"] == rows * ROW_BYTES + 10_000 * IVF_ROW_BYTES + 64 * 8
    # So many dead rows that they are cleared away.
    held.delete(sorted(held.codes)[:1500])
    deadline = time.monotonic() + LONG
    while held.stats()["removed"]:
        assert time.monotonic() < deadline
        assert held.search(some[:2]) == held.nearest(some[:2])
    told = held.stats()
    assert told["count"] == len(held.codes)
    assert told["memory_bytes"] == told["count"] * ROW_BYTES + 10_000 * IVF_ROW_BYTES + 64 * 8
    assert held.search(QUERIES) == held.nearest(QUERIES)
    # So many new ones that the index is built again, over all of them.
    held.index(named(clustered(4200, 4), 20_000))
    held.ready(len(held.codes))
    assert held.search(QUERIES) == held.nearest(QUERIES)


def test_never_fewer_than_asked_for_though_one_list_holds_less(client: httpx.Client) -> None:
    assert client.put("/v1/collections/one", json={"bits": BITS, "index": {"kind": "ivf", "lists": 32, "probes": 1}})
    held = Held(client, "one", {})
    held.index(named(clustered(1500, 5)))
    held.ready(1500)
    for limit in (10, 400, 1499, 1500, 2000):
        found = held.search(QUERIES[:10], limit=limit)
        assert [len(each) for each in found] == [min(limit, 1500)] * 10
    assert held.search(QUERIES[:10], limit=1500) == held.nearest(QUERIES[:10], 1500)


def test_few_items_are_searched_exactly_until_there_are_enough_for_the_lists(client: httpx.Client) -> None:
    assert client.put("/v1/collections/few", json={"bits": BITS, "index": {"kind": "ivf"}}).status_code == 201
    assert client.put("/v1/collections/lists", json={"bits": BITS, "index": {"kind": "ivf", "lists": 8}})
    few, held = Held(client, "few", {}), Held(client, "lists", {})
    few.index(named(clustered(3000, 6)))
    # 39 items a list.
    held.index(named(clustered(311, 6)))
    for each in (few, held):
        assert each.search(QUERIES[:10]) == each.nearest(QUERIES[:10])
        assert each.stats()["index"] == {"kind": "ivf", "state": "exact"}
    held.index({"one more": QUERIES[0]})
    assert held.ready(312)["index"]["lists"] == 8
    # The upkeep that has built this one has passed by the other.
    assert few.stats()["index"] == {"kind": "ivf", "state": "exact"}


def test_auto_is_exact_until_it_is_large_and_again_when_it_is_small(client: httpx.Client) -> None:
    auto = {"kind": "auto", "above": 1000, "lists": 8, "probes": 8}
    made = client.put("/v1/collections/grown", json={"bits": BITS, "index": auto})
    assert (made.status_code, made.json()["index"]) == (201, auto)
    held = Held(client, "grown", {})
    held.index(named(clustered(1000, 7)))
    exact = {"kind": "auto", "above": 1000, "state": "exact"}
    assert held.stats()["index"] == exact
    held.index({"one more": QUERIES[0]})
    told = held.ready(1001, kind="auto")["index"]
    assert (told["above"], told["lists"], told["probes"], told["recall"]) == (1000, 8, 8, 1)
    assert held.search(QUERIES) == held.nearest(QUERIES)
    # Once it is there it is not given up for a few.
    held.delete(sorted(held.codes)[:500])
    assert held.search(QUERIES) == held.nearest(QUERIES)
    assert held.stats()["index"] == told
    held.delete(sorted(held.codes)[:2])
    deadline = time.monotonic() + LONG
    while held.stats()["index"] != exact:
        assert time.monotonic() < deadline
    assert held.search(QUERIES) == held.nearest(QUERIES)
    assert client.get("/v1/collections/grown").json()["index"] == auto
    held.change(kind="auto")
    assert held.stats()["index"] == {"kind": "auto", "above": 1_000_000, "state": "exact"}


REFUSED: list[tuple[object, str]] = [
    ({"kind": "ivf", "lists": 0}, "index/lists: expected 1 to 65536, got 0"),
    ({"kind": "ivf", "lists": -1}, "index/lists: expected 1 to 65536, got -1"),
    ({"kind": "ivf", "lists": 65_537}, "index/lists: expected 1 to 65536, got 65537"),
    ({"kind": "ivf", "probes": 0}, "index/probes: expected 1 to 65536, got 0"),
    ({"kind": "ivf", "probes": 65_537}, "index/probes: expected 1 to 65536, got 65537"),
    ({"kind": "ivf", "lists": 4, "probes": 5}, "index/probes: expected at most as many as lists (4), got 5"),
    ({"kind": "flat", "lists": 4}, "index: expected lists and probes only with kind ivf or auto, got them with flat"),
    ({"kind": "flat", "probes": 4}, "index: expected lists and probes only with kind ivf or auto, got them with flat"),
    ({"kind": "flat", "above": 4}, "index: expected above only with kind auto, got it with flat"),
    ({"kind": "ivf", "above": 4}, "index: expected above only with kind auto, got it with ivf"),
    ({"kind": "auto", "above": 0}, "index/above: expected 1 to 1000000000, got 0"),
    ({"kind": "auto", "above": 1_000_000_001}, "index/above: expected 1 to 1000000000, got 1000000001"),
    ({"kind": "auto", "lists": 0}, "index/lists: expected 1 to 65536, got 0"),
    ({"kind": "auto", "above": 2.5}, "index/above: expected an integer, got 2.5"),
    ({"kind": "hnsw"}, "index/kind: expected 'flat', 'ivf' or 'auto', got 'hnsw'"),
    ({"kind": "ivf", "lists": 2.5}, "index/lists: expected an integer, got 2.5"),
    ({"kind": "ivf", "lists": True}, "index/lists: expected an integer, got true"),
    ({"kind": "ivf", "nprobe": 3}, "index/nprobe: expected nothing of this name, got 3"),
    ({"lists": 3}, "index/kind: expected a value, got none"),
    ("ivf", "index: expected an object"),
]


@pytest.mark.parametrize(("index", "detail"), REFUSED)
def test_settings_that_make_no_sense_are_refused_and_change_nothing(
    client: httpx.Client, index: object, detail: str
) -> None:
    client.put("/v1/collections/kept", json={"bits": 8, "index": {"kind": "ivf", "lists": 16, "probes": 2}})
    for reply in (
        client.put("/v1/collections/refused", json={"bits": 8, "index": index}),
        client.patch("/v1/collections/kept", json={"index": index}),
    ):
        assert reply.status_code == 422
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"].startswith(detail)
    assert client.get("/v1/collections/refused").status_code == 404
    assert client.get("/v1/collections/kept").json()["index"] == {"kind": "ivf", "lists": 16, "probes": 2}


def test_a_change_names_the_index_and_a_collection_that_is_there(client: httpx.Client) -> None:
    client.put("/v1/collections/kept", json={"bits": 8, "index": {"kind": "ivf", "lists": 16, "probes": 2}})
    for path, body, status, detail in (
        ("kept", {}, 422, "index: expected a value, got none"),
        ("kept", {"index": None}, 422, "index: expected an object"),
        ("kept", {"index": {"kind": "flat"}, "bits": 16}, 422, "bits: expected nothing of this name, got 16"),
        ("nope", {"index": {"kind": "flat"}}, 404, "expected the name of a collection that is there, got 'nope'"),
    ):
        reply = client.patch(f"/v1/collections/{path}", json=body)
        assert reply.status_code == status
        assert reply.json()["detail"].startswith(detail)
    assert client.get("/v1/collections/nope/stats").status_code == 404


def test_made_again_with_another_index_is_a_conflict_that_tells_the_one_that_is_there(client: httpx.Client) -> None:
    there = {"bits": 8, "index": {"kind": "ivf", "lists": 8, "probes": 3}}
    assert client.put("/v1/collections/again", json=there).status_code == 201
    for same in (there, {"bits": 8}, {"bits": 8, "index": None}, {**there, "keep_features": "none"}):
        assert client.put("/v1/collections/again", json=same).status_code == 200
    # What is left to the service agrees with what was chosen.
    for less in ({"kind": "ivf"}, {"kind": "ivf", "lists": 8}):
        reply = client.put("/v1/collections/again", json={"bits": 8, "index": less})
        assert (reply.status_code, reply.json()["index"]) == (200, there["index"])
    for other in ({"kind": "flat"}, {"kind": "ivf", "lists": 9, "probes": 3}, {"kind": "ivf", "probes": 4}):
        reply = client.put("/v1/collections/again", json={"bits": 8, "index": other})
        assert reply.status_code == 409
        assert reply.json()["detail"].endswith(
            "8 bits, no hasher, index ivf (lists 8, probes 3) and keep_features none"
        )
    grown = {"bits": 8, "index": {"kind": "auto", "above": 5000}}
    assert client.patch("/v1/collections/again", json={"index": grown["index"]}).status_code == 200
    for index, status in ((grown["index"], 200), ({"kind": "auto"}, 200), ({"kind": "auto", "above": 5001}, 409)):
        assert client.put("/v1/collections/again", json={"bits": 8, "index": index}).status_code == status
    # It is compared with how it is now.
    assert client.patch("/v1/collections/again", json={"index": {"kind": "flat"}}).status_code == 200
    assert client.put("/v1/collections/again", json=there).status_code == 409
    assert client.put("/v1/collections/again", json={"bits": 8, "index": {"kind": "flat"}}).status_code == 200

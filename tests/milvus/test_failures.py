"""A Milvus that is killed: nothing acknowledged is lost, and the services go on when it is back, as they are."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.milvus.server import MilvusServer
from tests.milvus.stores import done, index, nearest, put, search, serving

ITEMS, BATCH = 20_000, 500


@pytest.fixture
def client(milvus: MilvusServer, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a service over it."""
    with serving("milvus", tmp_path, milvus) as client:
        yield client


def _code(place: int, version: int = 0) -> str:
    return f"{(place * 2654435761 + version) % 2**32:08x}"


def _within(seconds: float, client: httpx.Client, path: str) -> httpx.Response:
    """The first reply that is not a 503."""
    deadline = time.monotonic() + seconds
    while True:
        reply = client.get(path)
        if reply.status_code != 503 or time.monotonic() > deadline:
            return reply
        assert (reply.json()["title"], reply.headers["Retry-After"]) == ("Store unavailable", "1"), reply.text
        time.sleep(0.1)


def test_what_was_acknowledged_is_there_after_kills_under_writes(milvus: MilvusServer, client: httpx.Client) -> None:
    put(client, "kept")
    acknowledged: dict[str, str] = {}
    refused: list[str] = []
    finished = threading.Event()

    def write() -> None:
        for start in range(0, ITEMS, BATCH):
            # The last of each batch is written anew by the next one: replaced, not doubled.
            places = [max(0, start - 1), *range(start + (start == 0), start + BATCH)]
            items = [{"id": f"i{place}", "code": _code(place, start)} for place in places]
            while True:
                reply = client.post("/v1/collections/kept/index", json={"items": items})
                if reply.status_code == 200:
                    acknowledged.update((each["id"], each["code"]) for each in items)
                    break
                assert reply.status_code == 503, reply.text
                refused.append(reply.json()["title"])
                time.sleep(0.2)
        finished.set()

    writer = threading.Thread(target=write)
    writer.start()
    for share in (0.2, 0.6, 1.0):
        while len(acknowledged) < share * ITEMS:
            time.sleep(0.005)
        milvus.kill()
        reply = client.post("/v1/collections/kept/search", json={"query": {"code": "00000000"}})
        problem = reply.json()
        assert (reply.status_code, problem["title"]) == (503, "Store unavailable")
        assert problem["detail"] == "expected Milvus to answer, it does not now: it cannot be reached"
        assert reply.headers["Retry-After"] == "1"
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        milvus.start()
        assert _within(60, client, "/v1/collections/kept").status_code == 200
    writer.join(120)
    assert finished.is_set()
    assert set(refused) == {"Store unavailable"}
    assert _within(60, client, "/readyz").status_code == 200
    found: dict[str, str] = {}
    cursor: dict[str, str] = {}
    while True:
        page = done(client.get("/v1/collections/kept/items", params={"limit": 1000} | cursor))
        assert not found.keys() & {each["id"] for each in page["items"]}
        found |= {each["id"]: each["code"] for each in page["items"]}
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}
    assert found == acknowledged
    assert done(client.get("/v1/collections/kept"))["count"] == len(found) == ITEMS
    items = [{"id": item_id, "code": code} for item_id, code in found.items()]
    assert search(client, "kept", "00000000", limit=100) == nearest(items, "00000000", 100)


def test_replicas_see_each_others_writes_at_once(milvus: MilvusServer, client: httpx.Client, tmp_path: Path) -> None:
    with serving("milvus", tmp_path / "other", milvus) as other:
        put(client, "shared")
        assert done(other.put("/v1/collections/shared", json={"bits": 32}))["consistency"] == "strong"
        for round_ in range(10):
            one, two = (client, other) if round_ % 2 else (other, client)
            index(one, "shared", [{"id": "a", "code": _code(round_)}])
            assert search(two, "shared", _code(round_)) == [("a", 0)]
            assert done(one.get("/v1/collections/shared/items/a"))["code"] == _code(round_)
        assert done(other.delete("/v1/collections/shared/items/a")) == {"deleted": 1}
        assert search(client, "shared", "00000000") == []
        # Made anew by the other, with codes of another length.
        assert other.delete("/v1/collections/shared").status_code == 204
        put(other, "shared", bits=64)
        index(client, "shared", [{"id": "b", "code": "00000000000000ff"}])
        assert search(other, "shared", "0000000000000000") == [("b", 8)]


def test_a_service_starts_before_its_milvus(tmp_path: Path, milvus: MilvusServer) -> None:
    milvus.kill()
    with serving("milvus", tmp_path, milvus, readiness=503) as client:
        assert client.get("/v1/collections").status_code == 503
        assert client.get("/metrics").status_code == 200
        milvus.start()
        assert _within(60, client, "/v1/collections").status_code == 200

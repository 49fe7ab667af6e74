"""What is beyond Milvus's bounds: ties and filters past its largest k, segments, large payloads, what is refused."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pymilvus import MilvusClient

from tests.milvus.server import MilvusServer
from tests.milvus.stores import done, index, nearest, put, search, serving


@pytest.fixture(scope="module")
def client(milvus: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service over Milvus."""
    with serving("milvus", tmp_path_factory.mktemp("bounds"), milvus) as client:
        yield client


def test_more_are_tied_than_milvus_finds_at_once(client: httpx.Client, milvus: MilvusServer) -> None:
    put(client, "tied")
    # Not in the order of ids, nor in that of places.
    codes = {f"{place * 7919 % 18_000:05d}": "00000001" for place in range(18_000)} | {
        "near": "00000000",
        "z": "0000000f",
    }
    items = [
        {"id": item_id, "code": code, "payload": {"rare": place == 17_000, "even": place % 2 == 0}}
        for place, (item_id, code) in enumerate(codes.items())
    ]
    direct = MilvusClient(milvus.uri)
    for start in range(0, len(items), 3000):
        index(client, "tied", items[start : start + 3000])
        if start == 6000:
            # What came until now is sealed: the rest grows in another segment.
            direct.flush("hammingway_tied")
    direct.close()
    for limit in (1, 2, 10, 5000):
        assert search(client, "tied", "00000000", limit=limit) == nearest(items, "00000000", limit)
    for condition in ("rare", "even"):
        through = [each for each in items if each["payload"][condition]]
        # A list: of it Milvus's own expression says nothing.
        wanted = {"not": {condition: False}}
        assert search(client, "tied", "00000000", limit=10, filter=wanted) == nearest(through, "00000000", 10)
    assert done(client.post("/v1/collections/tied/delete", json={"filter": {"even": True}})) == {"deleted": 9001}
    left = [each for each in items if not each["payload"]["even"]]
    assert search(client, "tied", "00000000", limit=10) == nearest(left, "00000000", 10)
    ids = [each["id"] for each in done(client.get("/v1/collections/tied/items", params={"limit": 1000}))["items"]]
    assert ids == sorted(each["id"] for each in left)[:1000]


def test_payloads_beyond_what_milvus_keeps_are_refused_alone(client: httpx.Client) -> None:
    put(client, "large")
    for size, status in ((60_000, 200), (70_000, 413)):
        items = [{"id": "a", "code": "00000000", "payload": {"x": "y" * size}}]
        reply = client.post("/v1/collections/large/index", json={"items": items})
        assert reply.status_code == status, reply.text
    assert reply.json()["errors"][0]["where"] == "items/0/payload"
    lines = b'{"id":"b","code":"00000000","payload":{"x":"%s"}}\n{"id":"c","code":"00000000"}\n' % (b"y" * 70_000)
    told = done(
        client.post("/v1/collections/large/index", content=lines, headers={"Content-Type": "application/x-ndjson"})
    )
    assert (told["indexed"], told["rejected"][0]["line"], told["rejected"][0]["status"]) == (1, 1, 413)
    assert len(done(client.get("/v1/collections/large/items/a"))["payload"]["x"]) == 60_000


def test_what_is_not_offered_says_so(client: httpx.Client) -> None:
    put(client, "plain")
    reply = client.post("/v1/collections/plain/snapshots")
    assert (reply.status_code, reply.json()["title"]) == (501, "Not offered by this store")
    queued = client.post("/v1/collections/plain/snapshots", headers={"Prefer": "respond-async"})
    assert (queued.status_code, queued.json()["title"]) == (501, "Not offered by this store")
    reply = client.patch("/v1/collections/plain", json={"index": {"kind": "ivf"}})
    assert (reply.status_code, reply.json()["title"]) == (501, "Not offered by this store")
    auto = {"kind": "auto", "above": 5000}
    for reply in (
        client.put("/v1/collections/grown", json={"bits": 32, "index": auto}),
        client.patch("/v1/collections/plain", json={"index": auto}),
    ):
        assert (reply.status_code, reply.json()["title"]) == (501, "Not offered by this store")
        assert reply.json()["detail"].startswith("expected kind flat or ivf, got auto")
    assert client.get("/v1/collections/grown").status_code == 404
    assert done(client.patch("/v1/collections/plain", json={"index": {"kind": "flat"}}))["index"] == {"kind": "flat"}


def test_consistency_is_a_setting_of_the_collection(client: httpx.Client, tmp_path: Path) -> None:
    for level in ("session", "bounded", "eventually"):
        assert put(client, level, consistency=level)["consistency"] == level
        assert client.put(f"/v1/collections/{level}", json={"bits": 32, "consistency": "strong"}).status_code == 409
        assert client.put(f"/v1/collections/{level}", json={"bits": 32}).status_code == 200
    for round_ in range(10):
        # A session sees its own inserts at once.
        index(client, "session", [{"id": f"{round_}", "code": f"{round_:08x}"}])
        assert search(client, "session", f"{round_:08x}")[0] == (f"{round_}", 0)
    with serving("sqlite", tmp_path) as other:
        reply = other.put("/v1/collections/c", json={"bits": 32, "consistency": "bounded"})
        assert (reply.status_code, reply.json()["errors"][0]["where"]) == (422, "consistency")
        assert "consistency" not in put(other, "c")

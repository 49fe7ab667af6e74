"""Collections with a hasher, asked of both stores at once: every reply of one is that of the other."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import DIMENSION
from tests.milvus.server import MilvusServer
from tests.milvus.stores import done, put, serving
from tests.recoding.made import add_version

Both = tuple[httpx.Client, httpx.Client]


@pytest.fixture(scope="module")
def both(milvus: MilvusServer, hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Clients of a service over SQLite and of one over Milvus, with the same hashers."""
    folder = tmp_path_factory.mktemp("both")
    with (
        serving("sqlite", folder, hashers=hashers) as one,
        serving("milvus", folder, milvus, hashers=hashers) as other,
    ):
        yield one, other


def _same(both: Both, path: str, body: Any = None, method: str = "POST") -> Any:
    """The reply of both, which is one."""
    one, other = (done(client.request(method, f"/v1/collections/{path}", json=body)) for client in both)
    assert one == other
    return one


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_vectors_are_ranked_and_carried_alike(both: Both, keep: str) -> None:
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((300, DIMENSION)).astype(np.float32)
    items = [
        {"id": f"v{place}", "vector": vector.tolist(), "payload": {"at": place}} for place, vector in enumerate(vectors)
    ]
    for client in both:
        done(client.put(f"/v1/collections/{keep}", json={"hasher": "vectors", "keep_features": keep}), 201)
    _same(both, f"{keep}/index", {"items": items})
    query = {"vector": rng.standard_normal(DIMENSION).tolist()}
    for rank in ("hamming", "asymmetric", "rescored"):
        for asked in (query, {"id": "v7"}):
            wanted = {"query": asked, "rank": rank, "limit": 8, "with": ["payload", "code", "features"]}
            assert len(_same(both, f"{keep}/search", wanted)["results"]) == 8
            _same(both, f"{keep}/search", {"query": asked, "rank": rank, "filter": {"at": {"lt": 99}}, "limit": 8})
    wanted = {"queries": [query, {"id": "v1"}, {"id": "v2"}], "rank": "rescored", "candidates": 20, "limit": 20}
    found = _same(both, f"{keep}/search", wanted)["results"]
    assert [len(each) for each in found] == [20, 20, 20]
    _same(both, f"{keep}/items/v3?with=features&with=code", method="GET")
    _same(both, f"{keep}/items?limit=20&with=features", method="GET")
    _same(both, f"{keep}/compare", {"a": {"id": "v1"}, "b": query})
    _same(both, f"{keep}/drift?items=200", method="GET")


def test_texts_are_found_alike(both: Both) -> None:
    for client in both:
        done(client.put("/v1/collections/texts", json={"hasher": "pydocs"}), 201)
    texts = ["copy a file", "remove a folder", "parse a date", "open a socket", "copy a folder with all that is in it"]
    _same(both, "texts/index", {"items": [{"id": f"t{place}", "text": text} for place, text in enumerate(texts)]})
    found = _same(both, "texts/search", {"query": {"text": "copy a file"}})
    assert (found["results"][0]["id"], found["results"][0]["distance"], found["hasher"]) == ("t0", 0, "pydocs@1")


@contextmanager
def _replica(folder: Path, milvus: MilvusServer) -> Iterator[httpx.Client]:
    with serving("milvus", folder, milvus, hashers=folder) as client:
        yield client


def test_a_replica_without_the_hasher_refuses_that_collection_alone(
    both: Both, milvus: MilvusServer, hashers: Path, tmp_path: Path
) -> None:
    _, client = both
    item = {"id": "a", "vector": [0.5] * DIMENSION}
    done(client.put("/v1/collections/bound", json={"hasher": "vectors"}), 201)
    done(client.post("/v1/collections/bound/index", json={"items": [item]}))
    put(client, "unbound")
    done(client.post("/v1/collections/unbound/index", json={"items": [{"id": "a", "code": "00000000"}]}))
    without, other = tmp_path / "without", tmp_path / "other"
    without.mkdir()
    # Of the same name and version, with other weights.
    shutil.copytree(hashers / "vectors@1", other / "vectors@1")
    add_version(other, "vectors@1", 2)
    shutil.rmtree(other / "vectors@1")
    add_version(other, "vectors@2", 1)
    for folder in (without, other):
        with _replica(folder, milvus) as replica:
            for path, body in (("search", {"query": {"vector": item["vector"]}}), ("index", {"items": [item]})):
                reply = replica.post(f"/v1/collections/bound/{path}", json=body)
                assert (reply.status_code, reply.json()["title"]) == (503, "Missing hasher"), reply.text
            found = done(replica.post("/v1/collections/unbound/search", json={"query": {"code": "00000000"}}))
            assert [each["id"] for each in found["results"]] == ["a"]
            assert done(replica.get("/v1/collections/bound"))["count"] == 1

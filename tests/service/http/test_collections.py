from pathlib import Path

import httpx

from service.settings import Settings
from tests.conftest import DIMENSION
from tests.serving import running

FLAT = {"index": {"kind": "flat"}, "keep_features": "none", "keep_documents": False}


def test_a_collection_is_made_once_and_stays_as_it_was_made(client: httpx.Client) -> None:
    made = client.put("/v1/collections/texts", json={"hasher": "pydocs"})
    assert made.status_code == 201
    assert made.json() == {"name": "texts", "bits": 64, "hasher": "pydocs@1", "count": 0, **FLAT}
    for hasher in ("pydocs", "pydocs@1"):
        again = client.put("/v1/collections/texts", json={"hasher": hasher})
        assert again.status_code == 200
        assert again.json() == made.json()
    assert client.get("/v1/collections/texts").json() == made.json()
    assert client.put("/v1/collections/texts", json={"hasher": "pydocs@2"}).status_code == 409


def test_collections_are_listed_by_name_and_deleted_with_their_items(client: httpx.Client) -> None:
    for name in ("b", "a"):
        client.put(f"/v1/collections/{name}", json={"bits": 8})
        client.post(f"/v1/collections/{name}/index", json={"items": [{"id": "x", "code": "01"}]})
    listed = {entry["name"]: entry["count"] for entry in client.get("/v1/collections").json()["collections"]}
    assert list(listed) == sorted(listed)
    assert listed["a"] == listed["b"] == 1
    assert client.delete("/v1/collections/a").status_code == 204
    assert client.get("/v1/collections/a").status_code == 404
    assert client.put("/v1/collections/a", json={"bits": 16}).json()["count"] == 0
    assert client.get("/v1/collections/a/items/x").status_code == 404
    query = {"query": {"code": "0000"}}
    assert client.post("/v1/collections/a/search", json=query).json()["results"] == []
    assert client.get("/v1/collections/b").json()["count"] == 1


def test_a_collection_whose_hasher_is_gone_answers_503_for_documents_and_serves_codes(
    hashers: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    item = {"id": "a", "vector": [1.0] * DIMENSION}
    with running(Settings(hashers=hashers, data=data)) as client:
        client.put("/v1/collections/c", json={"hasher": "vectors"})
        client.post("/v1/collections/c/index", json={"items": [item, {"id": "b", "code": "00" * 8}]})
    with running(Settings(hashers=tmp_path / "none", data=data)) as client:
        assert client.get("/v1/models").json() == {"models": []}
        reply = client.post("/v1/collections/c/index", json={"items": [item]})
        assert reply.status_code == 503
        assert "vectors@1" in reply.json()["detail"]
        for query in ({"id": "a"}, {"code": "ff" * 8}):
            reply = client.post("/v1/collections/c/search", json={"query": query})
            assert reply.status_code == 200
            assert reply.json()["results"]


def test_made_again_with_the_same_features_to_keep_is_no_conflict_and_with_others_it_is(client: httpx.Client) -> None:
    for keep, others in (("float16", ("none", "int8")), ("none", ("float16", "int8"))):
        path = f"/v1/collections/keeps-{keep}"
        made = client.put(path, json={"hasher": "vectors", "keep_features": keep})
        assert made.status_code == 201
        assert made.json()["keep_features"] == keep
        for same in ({"hasher": "vectors"}, {"hasher": "vectors@1", "keep_features": keep}):
            again = client.put(path, json=same)
            assert again.status_code == 200
            assert again.json() == made.json()
        for other in others:
            reply = client.put(path, json={"hasher": "vectors", "keep_features": other})
            assert reply.status_code == 409
            told = f"already with 64 bits, hasher vectors@1, index flat and keep_features {keep}"
            assert reply.json()["detail"].endswith(told)

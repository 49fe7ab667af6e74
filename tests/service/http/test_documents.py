"""Documents that a collection keeps, given back as they came: by items, pages and searches."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.store import lookups
from tests.conftest import DIMENSION


def _picture(seed: int) -> str:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 7), np.uint8)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


# Kept as float32, and told by as few digits as say which.
ROWS = np.random.default_rng(0).standard_normal((30, DIMENSION)).astype(np.float32)
DOCUMENTS: dict[str, dict[str, dict[str, Any]]] = {
    "pydocs": {f"t{n}": {"text": f"sort é list 😀 number {n}\n"} for n in range(30)},
    "digits": {f"p{n}": {"image": _picture(n)} for n in range(30)},
    "vectors": {f"v{n}": {"vector": [float(str(number)) for number in ROWS[n]]} for n in range(30)},
}


@pytest.fixture(scope="module", autouse=True)
def kept(client: httpx.Client) -> None:
    for hasher, documents in DOCUMENTS.items():
        settings = {"hasher": hasher, "keep_documents": True, "keep_features": "int8"}
        client.put(f"/v1/collections/{hasher}", json=settings).raise_for_status()
        items = [{"id": item_id, **document, "payload": {"of": item_id}} for item_id, document in documents.items()]
        client.post(f"/v1/collections/{hasher}/index", json={"items": items}).raise_for_status()
        # Replaced and deleted: what is given back is of what is there.
        client.delete(f"/v1/collections/{hasher}/items/{next(iter(documents))}").raise_for_status()
        client.post(f"/v1/collections/{hasher}/index", json={"items": items[:1]}).raise_for_status()
    client.put("/v1/collections/plain", json={"hasher": "vectors", "keep_features": "int8"}).raise_for_status()
    client.post("/v1/collections/plain/index", json={"items": [{"id": "a", **DOCUMENTS["vectors"]["v1"]}]})


@pytest.mark.parametrize("hasher", DOCUMENTS)
def test_an_item_and_a_page(client: httpx.Client, hasher: str) -> None:
    documents = DOCUMENTS[hasher]
    path = f"/v1/collections/{hasher}/items"
    for item_id, document in documents.items():
        told = client.get(f"{path}/{item_id}", params={"with": "document"}).json()
        assert told == {"id": item_id, "document": document, "hasher": f"{hasher}@1"}
    page = client.get(path, params={"with": ["payload", "document"], "limit": 20}).json()
    last = client.get(path, params={"with": ["payload", "document"], "cursor": page["cursor"]}).json()
    assert page["items"] + last["items"] == [
        {"id": item_id, "payload": {"of": item_id}, "document": documents[item_id]} for item_id in sorted(documents)
    ]
    assert page["hasher"] == last["hasher"] == f"{hasher}@1"
    assert "document" not in client.get(f"{path}/{item_id}").json()


@pytest.mark.parametrize("hasher", DOCUMENTS)
@pytest.mark.parametrize("rank", ["hamming", "asymmetric", "rescored"])
def test_a_search_of_many(client: httpx.Client, hasher: str, rank: str) -> None:
    documents = DOCUMENTS[hasher]
    queries = list(documents.values())[:3]
    body = {"queries": queries, "limit": 5, "rank": rank}
    plain = client.post(f"/v1/collections/{hasher}/search", json=body).json()["results"]
    told = client.post(f"/v1/collections/{hasher}/search", json=body | {"with": ["document", "code"]}).json()["results"]
    assert [[match["id"] for match in each] for each in told] == [[match["id"] for match in each] for each in plain]
    for match in (match for each in told for match in each):
        assert match["document"] == documents[match["id"]]
        assert "payload" not in match and "features" not in match
    # What is given back can be asked for as it came.
    again = {"query": told[0][0]["document"], "limit": 1}
    assert client.post(f"/v1/collections/{hasher}/search", json=again).json()["results"][0]["distance"] == 0


def test_it_is_refused_where_none_are_kept(client: httpx.Client) -> None:
    told = "with: expected a collection that keeps documents, got document for one that does not"
    for reply in (
        client.get("/v1/collections/plain/items/a?with=document"),
        client.get("/v1/collections/plain/items?with=document"),
        client.post("/v1/collections/plain/search", json={"query": {"id": "a"}, "with": ["document"]}),
    ):
        assert (reply.status_code, reply.json()["detail"]) == (422, told)
    assert client.get("/v1/collections/plain/items?with=documents").status_code == 422


def test_too_much_at_once_is_refused(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4 * DIMENSION + 1
    monkeypatch.setattr(lookups, "MOST_DOCUMENT_BYTES", 10 * size)
    path = "/v1/collections/vectors"
    ten = client.post(f"{path}/search", json={"query": {"id": "v1"}, "limit": 10, "with": ["document"]})
    assert len(ten.json()["results"]) == 10
    for reply in (
        client.post(f"{path}/search", json={"query": {"id": "v1"}, "limit": 11, "with": ["document"]}),
        client.get(f"{path}/items?with=document&limit=11"),
    ):
        assert reply.status_code == 422
        assert f"expected documents of {10 * size} bytes at most in a reply, got {11 * size}" in reply.json()["detail"]
    assert client.get(f"{path}/items?with=document&limit=10").status_code == 200


def test_a_document_that_many_queries_find_counts_as_often(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 4 * DIMENSION + 1
    monkeypatch.setattr(lookups, "MOST_DOCUMENT_BYTES", 10 * size)
    asked = {"limit": 2, "with": ["document"]}
    query = {"vector": DOCUMENTS["vectors"]["v1"]["vector"]}
    replies = [
        client.post("/v1/collections/vectors/search", json={"queries": [query] * count, **asked}) for count in (5, 6)
    ]
    assert [reply.status_code for reply in replies] == [200, 422]
    assert f"expected documents of {10 * size} bytes at most in a reply, got {12 * size}" in replies[1].json()["detail"]


def test_the_hasher_of_codes_as_given_is_none(client: httpx.Client) -> None:
    client.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
    client.post("/v1/collections/own/index", json={"items": [{"id": "a", "code": "0f"}]}).raise_for_status()
    item = {"id": "a", "code": "0f", "payload": {}}
    assert client.get("/v1/collections/own/items/a").json() == {**item, "hasher": None}
    assert client.get("/v1/collections/own/items").json() == {"items": [item], "cursor": None, "hasher": None}
    body = {"query": {"id": "a"}, "with": ["document"]}
    assert client.post("/v1/collections/own/search", json=body).status_code == 422

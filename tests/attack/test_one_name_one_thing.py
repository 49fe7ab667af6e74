"""What one name means no other name means: paths, queries and ids that are nearly those of something else."""

import http.client
import re
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from service.app import create_app
from service.http.schemas import fields
from service.settings import Settings
from tests.milvus.stores import done

ROUTES = [
    (method.upper(), path)
    for path, operations in create_app(Settings()).openapi()["paths"].items()
    for method in operations
]
OTHERS = [("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/static-offline-docs/favicon.png")]
# After a name that is there, and that would be found by it.
ADDED = {
    "line break": "%0A",
    "line break, small": "%0a",
    "carriage return and line break": "%0D%0A",
    "carriage return": "%0D",
    "NUL": "%00",
    "tab": "%09",
    "DEL": "%7F",
    "not UTF-8": "%ff",
    "half a character": "%C3",
    "overlong slash": "%c0%af",
    "overlong line break": "%c0%8a",
    "surrogate": "%ed%a0%80",
    "half an escape": "%0",
    "no escape": "%zz",
    "percent": "%",
}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data folder, and no hashers."""
    folder = tmp_path_factory.mktemp("names")
    return Settings(hashers=folder / "none", data=folder / "data")


@pytest.fixture(scope="module", autouse=True)
def own(client: httpx.Client) -> None:
    """A collection with items whose names are nearly the same."""
    done(client.put("/v1/collections/own", json={"bits": 8}), 201)
    ids = ["a", "a ", "%0A", "\ufffd", "a/b", "items/a", "a\u2028"]
    items = [{"id": each, "code": "0f"} for each in ids]
    assert done(client.post("/v1/collections/own/index", json={"items": items})) == {"indexed": len(ids)}


@pytest.fixture
def untouched(client: httpx.Client) -> Iterator[None]:
    """All items and collections as before."""
    before = _everything(client)
    yield
    assert _everything(client) == before


def _everything(client: httpx.Client) -> list[Any]:
    return [done(client.get(path)) for path in ("/v1/collections", "/v1/collections/own/items", "/v1/jobs")]


def _send(client: httpx.Client, method: str, target: str) -> tuple[int, str, bytes]:
    """As it is written: httpx would encode it once more."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    body = orjson.dumps({"ids": ["a"]} if target.endswith("delete") else {"query": {"code": "00"}})
    connection.request(method, target, b'{"bits": 8}' if method == "PUT" else body)
    reply = connection.getresponse()
    told = reply.status, reply.headers.get("content-type", ""), reply.read()
    connection.close()
    return told


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.usefixtures("untouched")
def test_what_is_added_to_a_path_leads_nowhere(client: httpx.Client, name: str) -> None:
    for method, path in [*ROUTES, *OTHERS, ("GET", "/nope"), ("GET", "/static-offline-docs/")]:
        target = re.sub(r"{\w+}", lambda found: "a" if found[0] == "{item_id}" else "own", path)
        for tried in {method, "HEAD"} if method == "GET" else {method}:
            status, media_type, content = _send(client, tried, target + ADDED[name])
            assert (status, media_type) == (404, PROBLEM), (tried, target, status, content)


@pytest.mark.parametrize(
    "target",
    [
        "/v1%2Fcollections/own/items/a",
        "/v1/collections%2fown/items/a",
        "/v1/collections/own%2Fitems%2Fa",
        "/v1/collections/own%2Fitems/a",
        "/v1/collections/x/../own/items/a",
        "/v1/collections/own/items%2Fa",
        "/v1/collections/own/items/%61%0a",
        "/v1/collections/own/items/%2561",
        "/v1/collections/own/items/a%2500",
        "/v1/collections/own/items/a%20%20",
        "/v1/collections/own/items//a",
        "/v1/collections/own/items/%2Fa",
        "/v1/collections/own/items/a/",
        "/v1/collections/own%20/items/a",
        "/v1/collections/OWN/items/a",
        "/v1/collections/own/ITEMS/a",
        "//v1/collections/own/items/a",
    ],
)
@pytest.mark.usefixtures("untouched")
def test_other_ways_to_write_a_path_lead_nowhere(client: httpx.Client, target: str) -> None:
    for method in ("DELETE", "GET"):
        status, media_type, content = _send(client, method, target)
        assert (status, media_type) == (404, PROBLEM), (method, content)


@pytest.mark.parametrize(
    ("target", "item_id"),
    [
        ("a", "a"),
        ("%61", "a"),
        ("a%20", "a "),
        ("%250A", "%0A"),
        ("%EF%BF%BD", "\ufffd"),
        ("a%2Fb", "a/b"),
        ("a/b", "a/b"),
        ("items/a", "items/a"),
        ("a%E2%80%A8", "a\u2028"),
    ],
)
def test_each_name_leads_to_its_own_item(client: httpx.Client, target: str, item_id: str) -> None:
    status, _, content = _send(client, "GET", f"/v1/collections/own/items/{target}")
    assert (status, orjson.loads(content)["id"]) == (200, item_id)


@pytest.mark.parametrize(
    "query",
    [
        "filter=%7B%22a%22:%22%ff%22%7D",
        "cursor=%ff",
        "%ff=1",
        "limit=1%0A",
        "limit=%201",
        "limit=%EF%BC%91",
        "limit=+1",
        "limit%0A=1",
        "with=code%0A",
        "with=code%00",
    ],
)
def test_a_query_is_as_it_is_written_or_refused(client: httpx.Client, query: str) -> None:
    status, media_type, content = _send(client, "GET", f"/v1/collections/own/items?{query}")
    assert (status, media_type) == (422, PROBLEM), content


def test_names_that_bodies_bring_are_whole(client: httpx.Client) -> None:
    for body in ({"hasher": "digits@1\n"}, {"hasher": "digits\n"}):
        reply = client.put("/v1/collections/other", json=body)
        assert reply.status_code == 404 and reply.json()["title"] == "Unknown hasher"
    for item_id in ("a\n", "\na", "a\x00", "a\x1b", "a\x7f", "..", "."):
        reply = client.post("/v1/collections/own/index", json={"items": [{"id": item_id, "code": "00"}]})
        assert reply.status_code == 422, item_id
    for code in ("0f\n", "0f ", "\uff10f"):
        reply = client.post("/v1/collections/own/search", json={"query": {"code": code}})
        assert reply.status_code == 422, code


C1 = [chr(point) for point in range(0x80, 0xA0)]


def test_new_ids_have_no_control_characters(client: httpx.Client) -> None:
    path = "/v1/collections/own/index"
    for control in C1:
        item = {"id": f"a{control}", "code": "00"}
        reply = client.post(path, json={"items": [item]})
        assert reply.status_code == 422 and "control characters" in reply.json()["detail"]
        line = orjson.dumps(item) + b"\n"
        reply = client.post(path, content=line, headers={"Content-Type": "application/x-ndjson"})
        assert reply.status_code == 422 and "control characters" in reply.json()["detail"]
    reply = client.post(path, files={"a\x85": b"no image"})
    assert reply.status_code == 422 and "control characters" in reply.json()["detail"]
    # As many bytes as such a character has, and no control.
    assert done(client.post(path, json={"items": [{"id": "a\xa0", "code": "00"}]})) == {"indexed": 1}


def test_ids_with_control_characters_that_are_stored_are_found_and_deleted(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"old{control}" for control in C1[:4]] + ["old\x85"]
    done(client.put("/v1/collections/old", json={"bits": 8}), 201)
    with monkeypatch.context() as before:
        before.setattr(fields, "_MORE_CONTROL", re.compile("$^"))
        items = [{"id": each, "code": "0f", "payload": {"n": n}} for n, each in enumerate(ids)]
        assert done(client.post("/v1/collections/old/index", json={"items": items})) == {"indexed": len(ids)}
    path = "/v1/collections/old"
    assert [item["id"] for item in done(client.get(f"{path}/items"))["items"]] == sorted(ids)
    page = done(client.get(f"{path}/items", params={"limit": 2}))
    following = done(client.get(f"{path}/items", params={"cursor": page["cursor"]}))
    assert [item["id"] for item in page["items"] + following["items"]] == sorted(ids)
    found = done(client.post(f"{path}/search", json={"query": {"id": ids[0]}}))["results"]
    assert {match["id"] for match in found} == set(ids[1:])
    assert done(client.post(f"{path}/compare", json={"a": {"id": ids[0]}, "b": {"id": ids[1]}}))["distance"] == 0
    assert done(client.get(f"{path}/items/old%C2%85"))["id"] == "old\x85"
    assert done(client.delete(f"{path}/items/old%C2%85")) == {"deleted": 1}
    assert done(client.post(f"{path}/delete", json={"ids": ids})) == {"deleted": len(ids) - 1}

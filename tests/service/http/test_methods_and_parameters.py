"""HEAD wherever GET is, and parameters that no operation knows."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

COLLECTION = "/v1/collections/here"


@pytest.fixture(scope="module", autouse=True)
def here(client: httpx.Client) -> None:
    client.put(COLLECTION, json={"bits": 8}).raise_for_status()
    client.post(f"{COLLECTION}/index", json={"items": [{"id": "a", "code": "0f"}]}).raise_for_status()


def _operations(client: httpx.Client) -> list[tuple[str, str, list[str]]]:
    """Method, path with what it names filled in, and the parameters of its URL, of every operation."""
    found = []
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        there = path.format(collection="here", item_id="a", reference="vectors@1", job="1")
        for method, operation in operations.items():
            known = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
            found.append((method, there, known))
    assert len(found) > 30
    return found


def test_head_is_get_without_content(client: httpx.Client) -> None:
    paths = [path for method, path, _ in _operations(client) if method == "get"]
    for path in [*paths, "/docs", "/openapi.json", "/v1/collections/nowhere", f"{COLLECTION}/items?limit=0"]:
        got, asked = client.get(path), client.head(path)
        assert (asked.status_code, asked.content) == (got.status_code, b""), path
        same = ("content-type", "cache-control", "x-content-type-options", "retry-after")
        assert [asked.headers.get(name) for name in same] == [got.headers.get(name) for name in same]
        if path not in ("/metrics", "/v1/collections/here/stats"):
            # But for ids of requests, which are as long.
            assert int(asked.headers["content-length"]) == len(got.content), path
    # The connection is still in step.
    assert client.get(f"{COLLECTION}/items/a").json()["id"] == "a"


def test_head_is_counted_as_what_it_is(client: httpx.Client) -> None:
    client.head(f"{COLLECTION}/items/a")
    told = client.get("/metrics").text
    assert 'hammingway_requests_total{method="HEAD",route="/v1/collections/{collection}/items/{item_id}"' in told


def test_head_where_there_is_no_get(client: httpx.Client) -> None:
    reply = client.head(f"{COLLECTION}/search")
    assert (reply.status_code, reply.headers["allow"], reply.content) == (405, "POST", b"")
    assert client.put("/livez").headers["allow"] == "GET, HEAD"
    assert client.post(COLLECTION).headers["allow"] == "GET, HEAD, PUT, PATCH, DELETE"


def test_a_parameter_that_is_not_known_is_refused_by_every_operation(client: httpx.Client) -> None:
    for method, path, known in _operations(client):
        reply = client.request(method, path, params={"limt": "5", "limt2": ""})
        problem: dict[str, Any] = reply.json()
        assert (reply.status_code, problem["title"]) == (422, "Invalid input"), (method, path)
        expected = f"one of {', '.join(known)}" if known else "no parameters in the URL"
        assert problem["errors"] == [
            {"where": name, "detail": f"expected {expected}, got {name!r}"} for name in ("limt", "limt2")
        ]
        assert problem["detail"] == f"limt: expected {expected}, got 'limt' (and 1 more)"
        assert reply.headers["x-request-id"] == problem["request_id"]
    # Nothing was done.
    assert client.get(f"{COLLECTION}/items/a").status_code == 200


@pytest.mark.parametrize("written", ["1_0", " 10", "+10", "10.0", "010", "1e1", "", "\u0661\u0660"])
def test_a_whole_number_is_written_in_digits_alone(client: httpx.Client, written: str) -> None:
    seen = []
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            for parameter in operation["parameters"]:
                if parameter["schema"].get("type") != "integer" or (parameter["in"] == "path" and not written):
                    continue
                name = parameter["name"]
                filled = {"collection": "here", "item_id": "a", "reference": "vectors@1"}
                if parameter["in"] == "path":
                    reply = client.request(method, path.format(**filled, **{name: quote(written)}))
                else:
                    reply = client.request(method, path.format(**filled), params={name: written})
                expected = [{"where": name, "detail": f"expected an integer, got {written!r}"}]
                assert (reply.status_code, reply.json()["errors"]) == (422, expected), (method, path)
                seen.append((parameter["in"], name))
    paths = [("path", "job")] * 2 if written else []
    assert sorted(seen) == [*paths, ("query", "items"), ("query", "limit")]


def test_parameters_that_are_known_are_taken(client: httpx.Client) -> None:
    query = "limit=1&with=code&with=payload&filter=%7B%7D"
    assert client.get(f"{COLLECTION}/items?{query}").json()["items"][0]["id"] == "a"
    assert client.get(f"{COLLECTION}/items?{query}&Limit=1").status_code == 422
    nameless = client.get("/livez?=5").json()
    assert nameless["detail"] == "URL: expected no parameters in the URL, got ''"
    assert client.get("/nowhere?limt=5").status_code == 404
    assert client.get("/docs?limt=5").status_code == 200
    assert client.get("/livez?").status_code == 200

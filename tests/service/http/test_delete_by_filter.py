"""Deleting all that a filter lets through, against the rules of filters in plain Python."""

import json
import sqlite3
import time
from contextlib import closing
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.settings import Settings
from tests.conftest import DIMENSION
from tests.filtering import holds

NUMBERS = count()


def collection(client: httpx.Client, payloads: dict[str, Any], **settings: object) -> str:
    name = f"deleting-{next(NUMBERS)}"
    assert client.put(f"/v1/collections/{name}", json=settings or {"bits": 16}).status_code == 201
    document = {"vector": [1.0] * DIMENSION} if settings else {"code": "0000"}
    items = [{"id": key, **document, "payload": payload} for key, payload in payloads.items()]
    assert client.post(f"/v1/collections/{name}/index", json={"items": items}).json() == {"indexed": len(items)}
    return name


def delete(client: httpx.Client, name: str, condition: object) -> httpx.Response:
    return client.post(f"/v1/collections/{name}/delete", json={"filter": condition})


def left(client: httpx.Client, name: str) -> set[str]:
    """What pages, search and count agree is there."""
    ids = {item["id"] for item in client.get(f"/v1/collections/{name}/items", params={"limit": 10_000}).json()["items"]}
    bits = client.get(f"/v1/collections/{name}").json()["bits"]
    body = {"query": {"code": "00" * (bits // 8)}, "limit": 10_000}
    assert {match["id"] for match in client.post(f"/v1/collections/{name}/search", json=body).json()["results"]} == ids
    assert client.get(f"/v1/collections/{name}").json()["count"] == len(ids)
    return ids


VALUES = st.sampled_from([0, 1, 1.5, -3, "red", "1", True, None, [1, "red"], [], {"deep": 1}])
PAYLOADS = st.dictionaries(st.sampled_from(["color", "price"]), VALUES)
FIELDS = st.sampled_from(
    [
        {"color": "red"},
        {"price": {"gte": 1}},
        {"price": {"gt": 0, "lt": 1.5}},
        {"color": {"in": ["red", 1]}},
        {"price": {"exists": False}},
        {"color": None},
        {"color.deep": 1},
    ]
)
FILTERS = st.recursive(
    FIELDS,
    lambda inner: st.one_of(
        st.builds(lambda each: {"not": each}, inner),
        st.builds(lambda each: {"and": each}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda each: {"or": each}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(payloads=st.lists(PAYLOADS, max_size=12), condition=FILTERS)
def test_exactly_what_it_lets_through_is_gone(
    client: httpx.Client, payloads: list[dict[str, Any]], condition: dict[str, Any]
) -> None:
    held = {f"{place:02}": payload for place, payload in enumerate(payloads)}
    name = collection(client, held)
    gone = {key for key, payload in held.items() if holds(condition, payload)}
    assert delete(client, name, condition).json() == {"deleted": len(gone)}
    assert left(client, name) == held.keys() - gone
    assert delete(client, name, condition).json() == {"deleted": 0}
    client.delete(f"/v1/collections/{name}")


def test_many_at_once_their_features_too_and_no_neighbours(client: httpx.Client, settings: Settings) -> None:
    def kept() -> int:
        with closing(sqlite3.connect(settings.database)) as database:
            (number,) = database.execute("SELECT count(*) FROM features").fetchone()
        return int(number)

    payloads = {f"{number:05}": {"n": number} for number in range(9000)}
    wanted = {"hasher": "vectors", "keep_features": "int8"}
    name, other = collection(client, payloads, **wanted), collection(client, {"00001": {"n": 1}}, **wanted)
    before = kept()
    # More than one block of rows.
    assert delete(client, name, {"n": {"lt": 8500}}).json() == {"deleted": 8500}
    assert left(client, name) == {f"{number:05}" for number in range(8500, 9000)}
    # Their rows are removed after the reply.
    deadline = time.monotonic() + 30
    while kept() != before - 8500:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert left(client, other) == {"00001"}
    # An id that was deleted may be used again.
    items = [{"id": "00001", "vector": [2.0] * DIMENSION}]
    assert client.post(f"/v1/collections/{name}/index", json={"items": items}).json() == {"indexed": 1}
    assert "00001" in left(client, name)


@pytest.mark.parametrize(
    "condition", [{}, {"and": [{}]}, {"or": [{}, {"and": [{}]}]}, {"not": {}}, {"not": {"or": [{}]}}]
)
def test_a_filter_that_names_no_field_deletes_nothing(client: httpx.Client, condition: dict[str, Any]) -> None:
    name = collection(client, {"a": {"n": 1}, "b": {}})
    reply = delete(client, name, condition)
    assert reply.status_code == 422
    assert reply.json()["detail"] == (
        "filter: expected a condition on a field, got none (to delete all items, delete the collection)"
    )
    assert left(client, name) == {"a", "b"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "expected either ids or a filter"),
        ({"ids": ["a"], "filter": {"n": 1}}, "expected either ids or a filter"),
        ({"ids": None, "filter": None}, "expected either ids or a filter"),
        ({"filter": []}, "filter: expected an object, got []"),
        ({"filter": {"n": {"over": 1}}}, "filter/n: expected operators"),
        ({"filter": {"or": []}}, "filter/or: expected a list of at least one filter, got an empty one"),
        ({"filtre": {"n": 1}}, "filtre: expected nothing of this name"),
    ],
)
def test_what_cannot_be_understood_deletes_nothing(client: httpx.Client, body: dict[str, Any], told: str) -> None:
    name = collection(client, {"a": {"n": 1}, "b": {}})
    content = json.dumps(body)
    reply = client.post(f"/v1/collections/{name}/delete", content=content, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422
    assert told in reply.json()["detail"]
    assert left(client, name) == {"a", "b"}


def test_no_collection_no_deletion(client: httpx.Client) -> None:
    assert delete(client, "nowhere", {"n": 1}).status_code == 404


def test_a_damaged_item_is_not_deleted_by_what_it_never_held(client: httpx.Client, settings: Settings) -> None:
    name = collection(client, {"a": {"n": 1}, "b": {"n": 2}})
    with closing(sqlite3.connect(settings.database)) as database:
        (number,) = database.execute("SELECT number FROM collections WHERE name = ?", (name,)).fetchone()
        change = "UPDATE items SET payload = ? WHERE collection = ? AND id = 'b'"
        database.execute(change, (b'{"n":1}', number))
        database.commit()
        reply = delete(client, name, {"n": 1})
        assert (reply.status_code, reply.json()["title"]) == (500, "Damaged store")
        # All or nothing: `a` stays, too.
        assert client.get(f"/v1/collections/{name}/items/a").status_code == 200
        database.execute(change, (b'{"n":2}', number))
        database.commit()
    assert delete(client, name, {"n": 1}).json() == {"deleted": 1}
    assert left(client, name) == {"b"}

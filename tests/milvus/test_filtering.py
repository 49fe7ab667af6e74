"""Filters on what Hypothesis draws: the rules, and Milvus's expression, which may let through more but never less."""

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.filters import parse_filter
from service.milvus.filtering import expression, lets_through
from tests.filtering import expected, holds
from tests.milvus.server import MilvusServer
from tests.milvus.stores import done, index, put, serving
from tests.service.test_filters import payloads_and_filters


@settings(max_examples=200, deadline=None)
@given(payloads_and_filters())
def test_it_lets_through_what_plain_python_does(drawn: tuple[list[Any], dict[str, Any]]) -> None:
    payloads, condition = drawn
    parsed = parse_filter(condition)
    # As they are kept: integers beyond 64 bits are floats.
    kept = [orjson.loads(orjson.dumps(payload or {})) for payload in payloads]
    through = [place for place, payload in enumerate(kept) if lets_through(parsed, payload)]
    assert through == expected(condition, payloads)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({}, ""),
        ({"n": {"exists": True}}, ""),
        ({"not": {"n": 1}}, ""),
        ({"n": 0.5}, ""),
        ({"n": 2**53}, ""),
        ({"n": None}, ""),
        ({'q"': 1}, ""),
        ({"s": 'q"'}, ""),
        ({"s": "back\\"}, ""),
        ({"s": "line\n"}, ""),
        ({"or": [{"n": 1}, {"m": True}]}, ""),
        ({"a.b": 1}, '(lists == true) or (payload["a"]["b"] == 1)'),
        ({"a": {"gte": "x"}, "b": True}, '(lists == true) or (payload["a"] >= "x")'),
        ({"a": {"in": ["x", 1]}}, '(lists == true) or ((payload["a"] in [1]) or (payload["a"] in ["x"]))'),
    ],
)
def test_hand_worked_expressions(condition: dict[str, Any], told: str) -> None:
    assert expression(parse_filter(condition)) == told


@pytest.fixture(scope="module")
def client(milvus: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service over Milvus, with a collection that is filled anew for each."""
    with serving("milvus", tmp_path_factory.mktemp("filtering"), milvus) as client:
        put(client, "drawn")
        yield client


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(payloads_and_filters(), min_size=4, max_size=4))
def test_milvus_leaves_out_nothing_that_is_let_through(
    client: httpx.Client, drawn: list[tuple[list[Any], dict[str, Any]]]
) -> None:
    payloads = [payload for some, _ in drawn for payload in some]
    kept = [orjson.loads(orjson.dumps(payload or {})) for payload in payloads]
    items = [
        {"id": f"{place:04d}", "code": "00000000"} | ({} if payload is None else {"payload": payload})
        for place, payload in enumerate(payloads)
    ]
    done(client.post("/v1/collections/drawn/delete", json={"filter": {"not": {"no such field": 1}}}))
    index(client, "drawn", items)
    for _, condition in drawn:
        body = {"query": {"code": "00000000"}, "filter": condition, "limit": 1000}
        found = done(client.post("/v1/collections/drawn/search", json=body))["results"]
        through = [place for place, payload in enumerate(payloads) if holds(condition, payload or {})]
        assert [int(each["id"]) for each in found] == through
        assert [each["payload"] for each in found] == [kept[place] for place in through]

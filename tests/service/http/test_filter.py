"""Filters in searches against NumPy brute force, however many items they let through."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import numpy as np
import pytest

from models.codes import hamming, to_hex

ITEMS = 4000
BYTES = 3
FARTHEST = 15
NUMBERS = count()
Payload = dict[str, Any]
Check = Callable[[Payload], bool]
Pairs = list[tuple[int, str]]


@dataclass
class Held:
    """A collection, and what it is to hold: codes and payloads by id."""

    client: httpx.Client
    name: str
    codes: dict[str, np.ndarray]
    payloads: dict[str, Payload]

    def upsert(self, changed: dict[str, tuple[np.ndarray, Payload]]) -> None:
        items = [{"id": key, "code": to_hex(code), "payload": payload} for key, (code, payload) in changed.items()]
        reply = self.client.post(f"/v1/collections/{self.name}/index", json={"items": items})
        assert reply.json() == {"indexed": len(items)}
        self.codes |= {key: code for key, (code, _) in changed.items()}
        self.payloads |= {key: payload for key, (_, payload) in changed.items()}

    def delete(self, ids: list[str]) -> None:
        reply = self.client.post(f"/v1/collections/{self.name}/delete", json={"ids": ids})
        assert reply.json() == {"deleted": len(ids)}
        for key in ids:
            del self.codes[key], self.payloads[key]

    def search(self, **request: object) -> Any:
        reply = self.client.post(f"/v1/collections/{self.name}/search", json=request)
        assert reply.status_code == 200, reply.text
        results = reply.json()["results"]
        for match in results if "query" in request else [match for each in results for match in each]:
            assert match["payload"] == self.payloads[match["id"]]
        if "query" in request:
            return pairs(results)
        return [pairs(each) for each in results]

    def nearest(self, code: np.ndarray, check: Check) -> Pairs:
        """(distance, id) of all that the filter is to let through, in order."""
        ids = sorted(key for key, payload in self.payloads.items() if check(payload))
        if not ids:
            return []
        distances = hamming(code[None], np.stack([self.codes[key] for key in ids]))[0]
        # Stable: of equal distances the first id comes first.
        return [(int(distances[place]), ids[place]) for place in np.argsort(distances, kind="stable").tolist()]


def pairs(matches: list[dict[str, Any]]) -> Pairs:
    return [(match["distance"], match["id"]) for match in matches]


def made(client: httpx.Client, name: str) -> Held:
    rng = np.random.default_rng(7)
    assert client.put(f"/v1/collections/{name}", json={"bits": 8 * BYTES}).status_code == 201
    held = Held(client, name, {}, {})
    places = rng.permutation(ITEMS)
    codes = rng.integers(0, 256, (ITEMS, BYTES), dtype=np.uint8)
    far = hamming(np.zeros((1, BYTES), np.uint8), codes)[0] >= FARTHEST
    for start in range(0, ITEMS, 2000):
        held.upsert(
            {
                f"{places[i] * 7919 % 10007}-{'é' * int(i % 3)}": (
                    codes[i],
                    {"place": int(places[i]), "far": bool(far[i]), "even": [int(i), "even" if i % 2 == 0 else "odd"]},
                )
                for i in range(start, start + 2000)
            }
        )
    return held


@pytest.fixture(scope="module")
def held(client: httpx.Client) -> Held:
    return made(client, "filtered")


def fresh(condition: Payload) -> Payload:
    """The same once more, but as no search has had it before: nothing is known of what it lets through."""
    return {**condition, "not": {"never": next(NUMBERS)}}


def queries(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, BYTES), dtype=np.uint8)


def asked(codes: np.ndarray) -> list[dict[str, str]]:
    return [{"code": to_hex(code)} for code in codes]


@pytest.mark.parametrize("through", [0, 1, 3, 40, 199, 200, 201, 400, 2000, 3960, 3999, ITEMS])
def test_exact_however_many_are_let_through_and_the_second_time_too(held: Held, through: int) -> None:
    codes = queries(6, through)
    for limit in (1, 10, 300):
        expected = [held.nearest(code, lambda payload: payload["place"] < through)[:limit] for code in codes]
        assert {len(each) for each in expected} == {min(limit, through)}
        condition = fresh({"place": {"lt": through}})
        for _ in ("nothing known of it", "its items known"):
            assert held.search(queries=asked(codes), limit=limit, filter=condition) == expected
        alone = held.search(query={"code": to_hex(codes[0])}, limit=limit, filter=fresh({"place": {"lt": through}}))
        assert alone == expected[0]


def test_though_none_of_the_nearest_is_let_through(held: Held) -> None:
    zero = np.zeros(BYTES, np.uint8)
    expected = held.nearest(zero, lambda payload: payload["far"])
    # More than the few that would be searched alone, and beyond all that are looked through at first.
    assert 0.05 * ITEMS < len(expected) < 0.3 * ITEMS
    assert expected[0][0] == FARTHEST
    for limit in (1, 10, len(expected), len(expected) + 1):
        for _ in range(2):
            found = held.search(query={"code": to_hex(zero)}, limit=limit, filter={"far": True})
            assert found == expected[:limit]


def test_an_empty_filter_lets_all_through_and_null_is_none(held: Held) -> None:
    for code in queries(3, 1):
        query = {"code": to_hex(code)}
        expected = held.nearest(code, lambda _: True)[:25]
        for condition in ({}, None, {"or": [{}, {"place": -1}]}):
            assert held.search(query=query, limit=25, filter=condition) == expected


def test_conditions_combined(held: Held) -> None:
    condition = {
        "or": [{"place": {"in": [5, 6, 7, 5000]}}, {"and": [{"even": "even"}, {"not": {"place": {"gte": 900}}}]}],
        "far": False,
    }

    def check(payload: Payload) -> bool:
        return not payload["far"] and (
            payload["place"] in (5, 6, 7) or ("even" in payload["even"] and payload["place"] < 900)
        )

    for code in queries(5, 2):
        expected = held.nearest(code, check)
        assert 300 < len(expected) < 460
        for limit in (7, 1000):
            assert held.search(query={"code": to_hex(code)}, limit=limit, filter=condition) == expected[:limit]


@pytest.mark.parametrize("through", [30, 1000, 3990])
def test_max_distance_is_inclusive_beside_a_filter_and_alone_gives_all_within(held: Held, through: int) -> None:
    condition = {"place": {"lt": through}}
    for code in queries(3, 3):
        all_through = held.nearest(code, lambda payload: payload["place"] < through)
        for farthest in (0, 6, 8, 12, 24, 1000):
            expected = [pair for pair in all_through if pair[0] <= farthest]
            query = {"code": to_hex(code)}
            assert held.search(query=query, max_distance=farthest, filter=condition) == expected
            assert held.search(query=query, max_distance=farthest, limit=4, filter=condition) == expected[:4]


def test_a_query_by_id_finds_as_many_others_whether_it_is_let_through_itself_or_not(held: Held) -> None:
    wanted = {key for key, payload in held.payloads.items() if payload["place"] < 1000}
    inside, outside = sorted(wanted)[::300], sorted(held.codes.keys() - wanted)[::900]
    assert len(inside) == 4 and len(outside) == 4
    for key in inside + outside:
        others = [pair for pair in held.nearest(held.codes[key], lambda each: each["place"] < 1000) if pair[1] != key]
        for limit in (1, 10, 1000):
            found = held.search(query={"id": key}, limit=limit, filter={"place": {"lt": 1000}})
            assert found == others[:limit]
    together = held.search(queries=[{"id": key} for key in inside], limit=10, filter={"place": {"lt": 1000}})
    assert together == [held.search(query={"id": key}, limit=10, filter={"place": {"lt": 1000}}) for key in inside]


def test_what_is_replaced_or_deleted_is_let_through_as_it_is_now(client: httpx.Client) -> None:
    held = made(client, "changing")
    code = queries(1, 4)[0]
    # Few, whose items are searched alone; half; nearly all.
    filters: list[tuple[Payload, Check]] = [
        ({"place": {"lt": 100}}, lambda payload: payload["place"] < 100),
        ({"even": "even"}, lambda payload: "even" in payload["even"]),
        ({"place": {"gte": 20}}, lambda payload: payload["place"] >= 20),
    ]

    def agree() -> None:
        for condition, check in filters:
            expected = held.nearest(code, check)
            for limit in (10, 500):
                found = held.search(query={"code": to_hex(code)}, limit=limit, filter=condition)
                assert found == expected[:limit]

    agree()
    nearest = [key for _, key in held.nearest(code, lambda _: True)]
    # Of the nearest, some are let through no more, others only now; their codes stay.
    changed = {key: dict(held.payloads[key]) for key in nearest[:60]}
    for payload in changed.values():
        payload["place"] = 5000 if payload["place"] < 100 else 3
        payload["even"] = ["odd" if "even" in payload["even"] else "even"]
    held.upsert({key: (held.codes[key], payload) for key, payload in changed.items()})
    agree()
    # And back; then with other codes, and the same payload.
    held.upsert({key: (held.codes[key], {"place": 7, "even": [0, "even"], "far": False}) for key in nearest[:30]})
    agree()
    held.upsert({key: (~code, held.payloads[key]) for key in nearest[:15]})
    agree()
    for _, check in filters:
        held.delete([key for _, key in held.nearest(code, check)[:20]])
        agree()
    held.upsert({f"new {number}": (code, {"place": number, "even": [0, "even"]}) for number in range(-5, 25)})
    agree()
    held.delete([key for key, payload in held.payloads.items() if payload["place"] < 100])
    assert held.search(query={"code": to_hex(code)}, limit=5, filter=filters[0][0]) == []
    agree()


def test_items_without_a_payload_have_an_empty_one(client: httpx.Client) -> None:
    assert client.put("/v1/collections/bare", json={"bits": 8}).status_code == 201
    items: list[Payload] = [
        {"id": "none", "code": "00"},
        {"id": "null", "code": "01", "payload": {"x": None}},
        {"id": "one", "code": "03", "payload": {"x": 1}},
        {"id": "true", "code": "07", "payload": {"x": True}},
        {"id": "text", "code": "0f", "payload": {"x": "1"}},
        {"id": "list", "code": "1f", "payload": {"x": [0, 1.0]}},
        {"id": "deep", "code": "3f", "payload": {"x": {"y": 1}}},
    ]
    assert client.post("/v1/collections/bare/index", json={"items": items}).json() == {"indexed": 7}
    cases: list[tuple[Payload, list[str]]] = [
        ({"x": {"exists": False}}, ["none"]),
        ({"x": None}, ["null"]),
        ({"x": 1}, ["one", "list"]),
        ({"x": True}, ["true"]),
        ({"x": {"gt": "0"}}, ["text"]),
        ({"x": {"lt": 1}}, ["list"]),
        ({"x": {"gt": 0, "lt": 1}}, []),
        ({"x.y": 1}, ["deep"]),
        ({"not": {"x": {"gte": 0}}}, ["none", "null", "true", "text", "deep"]),
    ]
    for condition, expected in cases:
        for _ in range(2):
            body = {"query": {"code": "00"}, "filter": condition}
            results = client.post("/v1/collections/bare/search", json=body).json()["results"]
            assert [match["id"] for match in results] == expected, condition


BAD: list[tuple[object, str]] = [
    ({"price": {"gtt": 5}}, "filter/price: expected operators, eq, in, gt, gte, lt, lte, exists, got 'gtt'"),
    (
        {"and": [{"a": 1}, {"or": [{"b": {"gt": None}}]}]},
        "filter/and/1/or/0/b/gt: expected a number or a string, got null",
    ),
    ({"and": {"a": 1}}, "filter/and: expected a list of filters, got an object"),
    ({"or": []}, "filter/or: expected a list of at least one filter, got an empty one"),
    ({"not": [{"a": 1}]}, "filter/not: expected a filter, which is an object, got a list"),
    ({"a": {}}, "filter/a: expected at least one operator, eq, in, gt, gte, lt, lte, exists, got none"),
    ({"a": {"in": 5}}, "filter/a/in: expected a list, got a number"),
    ({"a": {"exists": 1}}, "filter/a/exists: expected true or false, got a number"),
    (
        {"a": [1, 2]},
        "filter/a: expected a string, a number, true, false or null, or an object of operators, got a list",
    ),
    ([{"a": 1}], "filter: expected an object, got [{'a': 1}]"),
    ("a = 1", "filter: expected an object, got 'a = 1'"),
]


@pytest.mark.parametrize(("condition", "detail"), BAD)
def test_a_bad_filter_is_refused_and_the_detail_says_where(held: Held, condition: object, detail: str) -> None:
    body = {"query": {"code": "000000"}, "filter": condition}
    reply = held.client.post("/v1/collections/filtered/search", json=body)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"].startswith(detail)

"""One suite over both stores: the same requests get the same replies, which are those of brute force."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from service.http.schemas import fields
from tests.filtering import holds
from tests.milvus.stores import BITS, done, index, nearest, put, search, serving

STRANGE = ["q\"uo'te", "back\\slash", "ünï😀", "x" * 512, "日本/語", "%_", "a b", "{x}", "id in []", "é", "e\u0301"]
FILTERS: list[dict[str, Any]] = [
    {"n": 3},
    {"n": {"lte": 40}},
    {"n": {"gt": 10, "lt": 30}},
    {"n": {"in": [1, 2, "3", None]}},
    {"tag": "red"},
    {"tags": "red"},
    {"tags": {"gte": "b", "lt": "c"}},
    {"list": {"gt": 5}},
    {"big": 2**63 - 1},
    {"big": {"gt": 2**53}},
    {"deep.er": {"exists": True}},
    {"missing": {"exists": False}, "n": {"lt": 5}},
    {"not": {"n": {"lte": 290}}},
    {"or": [{"n": 7}, {"tag": 'qu"ote'}]},
    {"and": [{"flag": True}, {"nothing": None}]},
    {"half": 0.5},
    {"tag": 'qu"ote'},
    {"a b-c.d": 1},
    {"wéird": {"gte": 1}},
    {"n": {"in": []}},
    {"n": {"in": list(range(50))}},
    {"n": {"in": list(range(20, 10_000))}},
    {"tag": {"in": ["ünï", "", *(f"no {place}" for place in range(9_000))]}},
    {"tag": "ünï"},
    {"or": [{"n": place} for place in range(0, 200, 2)]},
    {"and": [{"n": {"gte": place}} for place in range(150)]},
    {"tag": {"in": ["red", 3]}, "n": {"in": ["red", 3, 4.5]}},
    {"tag": {"gt": "u"}},
]


@pytest.fixture(scope="module", params=["sqlite", "milvus"])
def store(request: pytest.FixtureRequest) -> str:
    """Which store."""
    return str(request.param)


@pytest.fixture(scope="module")
def client(
    store: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[httpx.Client]:
    """A client of a service over it."""
    milvus = request.getfixturevalue("milvus") if store == "milvus" else None
    with serving(store, tmp_path_factory.mktemp(store), milvus) as client:
        yield client


def _items(count: int, seed: int = 0, few: int = 256) -> list[dict[str, Any]]:
    """Items with few different codes, so that many are tied, and payloads of all kinds."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, few, (count, 1)).astype(">u4").view(np.uint8).reshape(count, BITS // 8)
    return [
        {"id": f"i{place}", "code": code.tobytes().hex(), "payload": _payload(place)}
        for place, code in enumerate(codes)
    ]


def _payload(place: int) -> dict[str, Any]:
    return {
        "n": place if place % 3 else float(place),
        "tag": ["red", "blue", 'qu"ote', "ünï"][place % 4],
        "tags": ["red", "blue"][: place % 3],
        "list": [place % 7, "x", None, {"n": 3}],
        "big": 2**63 - 1 - place % 2,
        "flag": bool(place % 2),
        "nothing": None,
        "half": place / 2,
        "deep": {"er": place} if place % 5 == 0 else 1,
        "a b-c": {"d": place % 2},
        "wéird": place % 3,
    }


def test_searches_equal_brute_force_also_among_ties(client: httpx.Client) -> None:
    items = _items(600)
    put(client, "ties")
    index(client, "ties", items)
    for place in (0, 1, 2):
        code = items[place]["code"]
        for limit in (1, 7, 100, 600, 1000):
            assert search(client, "ties", code, limit=limit) == nearest(items, code, limit)
        assert search(client, "ties", code, limit=50, max_distance=1) == nearest(items, code, 50, 1)
        assert search(client, "ties", code, limit=50, max_distance=0) == nearest(items, code, 50, 0)
    body = {"queries": [{"code": each["code"]} for each in items[:20]], "limit": 5}
    found = done(client.post("/v1/collections/ties/search", json=body))["results"]
    told = [[(each["id"], each["distance"]) for each in matches] for matches in found]
    assert told == [nearest(items, each["code"], 5) for each in items[:20]]
    itself = done(client.post("/v1/collections/ties/search", json={"query": {"id": "i5"}, "limit": 9}))["results"]
    others = [each for each in items if each["id"] != "i5"]
    assert [(each["id"], each["distance"]) for each in itself] == nearest(others, items[5]["code"], 9)


def test_filters_equal_the_rules(client: httpx.Client) -> None:
    items = _items(300, 1)
    put(client, "filtered")
    index(client, "filtered", items)
    code = items[0]["code"]
    for condition in FILTERS:
        through = [each for each in items if holds(condition, each["payload"])]
        expected = nearest(through, code, 5) if through else []
        assert search(client, "filtered", code, limit=5, filter=condition) == expected, condition
        if len(_json(condition)) > 8000:
            # In a URL.
            continue
        shown: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            # A page with a filter may come short: it takes a tenth of a second at most.
            asked = {"limit": 1000, "filter": _json(condition), **cursor}
            page = done(client.get("/v1/collections/filtered/items", params=asked))
            shown += [each["id"] for each in page["items"]]
            if page["cursor"] is None:
                break
            cursor = {"cursor": page["cursor"]}
        assert shown == sorted(each["id"] for each in through), condition


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def test_ids_of_all_kinds_are_found_and_deleted(client: httpx.Client) -> None:
    put(client, "strange")
    items = [{"id": each, "code": f"{place:08x}", "payload": {"at": place}} for place, each in enumerate(STRANGE)]
    index(client, "strange", items)
    page = done(client.get("/v1/collections/strange/items", params={"limit": 4}))
    seen = page["items"]
    while page["cursor"]:
        page = done(client.get("/v1/collections/strange/items", params={"limit": 4, "cursor": page["cursor"]}))
        seen += page["items"]
    assert seen == sorted(items, key=lambda each: str(each["id"]))
    for each in items:
        body = {"query": {"id": each["id"]}, "limit": 20}
        found = done(client.post("/v1/collections/strange/search", json=body))["results"]
        assert {match["id"] for match in found} == set(STRANGE) - {each["id"]}
    assert client.get("/v1/collections/strange/items/a%00b").status_code == 404
    wanted = {"ids": [STRANGE[0], "unknown", STRANGE[1], "a\0", STRANGE[2]]}
    assert done(client.post("/v1/collections/strange/delete", json=wanted)) == {"deleted": 3}
    left = done(client.get("/v1/collections/strange/items"))["items"]
    assert [each["id"] for each in left] == sorted(STRANGE[3:])


def test_a_write_is_whole_or_nothing_and_seen_at_once(client: httpx.Client) -> None:
    put(client, "writes")
    index(client, "writes", [{"id": "a", "code": "00000000"}, {"id": "b", "code": "0000000f", "payload": {"x": [1]}}])
    bad = [{"id": "c", "code": "00000001"}, {"id": "d", "code": "xyz"}]
    assert client.post("/v1/collections/writes/index", json={"items": bad}).status_code == 422
    twice = [{"id": "c", "code": "00000001"}, {"id": "c", "code": "00000002"}]
    assert client.post("/v1/collections/writes/index", json={"items": twice}).status_code == 422
    assert search(client, "writes", "00000000") == [("a", 0), ("b", 4)]
    for code, distance in (("ffffffff", 32), ("000000ff", 8), ("00000000", 0)):
        index(client, "writes", [{"id": "a", "code": code}])
        assert dict(search(client, "writes", "00000000"))["a"] == distance
        assert done(client.get("/v1/collections/writes/items/a")) == {
            "id": "a",
            "code": code,
            "payload": {},
            "hasher": None,
        }
        assert done(client.get("/v1/collections/writes"))["count"] == 2
    assert done(client.delete("/v1/collections/writes/items/a")) == {"deleted": 1}
    assert search(client, "writes", "00000000") == [("b", 4)]
    assert client.delete("/v1/collections/writes/items/a").status_code == 404
    lines = b'{"id": "l1", "code": "00000003"}\nnonsense\n{"id": "l2", "code": "00000007"}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    told = done(client.post("/v1/collections/writes/index", content=lines, headers=headers))
    assert (told["indexed"], [each["line"] for each in told["rejected"]]) == (2, [2])
    assert search(client, "writes", "00000000") == [("l1", 2), ("l2", 3), ("b", 4)]


def test_deleting_by_filter(client: httpx.Client) -> None:
    items = _items(100, 2)
    put(client, "gone")
    index(client, "gone", items)
    condition = {"list": {"gt": 3}}
    left = [each for each in items if not holds(condition, each["payload"])]
    told = done(client.post("/v1/collections/gone/delete", json={"filter": condition}))
    assert told == {"deleted": len(items) - len(left)}
    assert search(client, "gone", items[0]["code"], limit=200) == nearest(left, items[0]["code"], 200)
    stats = done(client.get("/v1/collections/gone/stats", params={"codes": True}))
    bits = np.unpackbits(
        np.array([list(bytes.fromhex(each["code"])) for each in left], np.uint8), axis=1, bitorder="little"
    )
    assert (stats["count"], stats["bits"]) == (len(left), BITS)
    assert stats["codes"]["share_of_ones"] == bits.mean(axis=0).round(4).tolist()


def test_duplicates(client: httpx.Client) -> None:
    put(client, "pairs")
    codes = {"a": "00000000", "b": "00000001", "c": "ffff0000", "d": "00000003", "e": "ffff0000", "z": "0f0f0f0f"}
    index(client, "pairs", [{"id": item_id, "code": code} for item_id, code in codes.items()])
    reply = client.post("/v1/collections/pairs/duplicates", json={"max_distance": 1})
    assert reply.text == (
        '{"group":1,"items":[{"id":"a","of":null,"distance":0},{"id":"b","of":"a","distance":1},'
        '{"id":"d","of":"b","distance":1}]}\n'
        '{"group":2,"items":[{"id":"c","of":null,"distance":0},{"id":"e","of":"c","distance":0}]}\n'
    )


def test_collections_are_made_listed_and_deleted(client: httpx.Client) -> None:
    made = put(client, "my-own_one", bits=64)
    assert client.put("/v1/collections/my-own_one", json={"bits": 64}).status_code == 200
    assert client.put("/v1/collections/my-own_one", json={"bits": 128}).status_code == 409
    assert done(client.get("/v1/collections/my-own_one")) == made
    assert made in done(client.get("/v1/collections"))["collections"]
    assert client.delete("/v1/collections/my-own_one").status_code == 204
    for reply in (client.get("/v1/collections/my-own_one"), client.delete("/v1/collections/my-own_one")):
        assert (reply.status_code, reply.json()["title"]) == (404, "Unknown collection")
    body = {"query": {"code": "00"}}
    assert client.post("/v1/collections/my-own_one/search", json=body).status_code == 404


def test_what_no_collection_can_be_called_is_unknown(client: httpx.Client) -> None:
    for name in ("A", "aHb", "a.b", "a b", "ünï", "%20", "-", "x" * 300):
        body = {"query": {"code": "00"}}
        replies = [
            client.get(f"/v1/collections/{name}"),
            client.delete(f"/v1/collections/{name}"),
            client.post(f"/v1/collections/{name}/search", json=body),
            client.post(f"/v1/collections/{name}/index", json={"items": []}),
            client.post(f"/v1/collections/{name}/delete", json={"filter": {}}),
            client.get(f"/v1/collections/{name}/recode"),
        ]
        assert [reply.json()["title"] for reply in replies] == ["Unknown collection"] * 6
        assert [reply.status_code for reply in replies] == [404] * 6


def test_ivf_is_exact_where_it_has_to_be(client: httpx.Client) -> None:
    items = _items(3000, 3, 4096)
    put(client, "lists", index={"kind": "ivf", "lists": 16, "probes": 2})
    index(client, "lists", items)
    code = items[0]["code"]
    assert search(client, "lists", code, limit=20, exact=True) == nearest(items, code, 20)
    through = [each for each in items if each["payload"]["flag"]]
    assert search(client, "lists", code, limit=20, filter={"flag": True}) == nearest(through, code, 20)
    assert len(search(client, "lists", code, limit=20)) == 20
    changed = done(client.patch("/v1/collections/lists", json={"index": {"kind": "ivf", "lists": 16, "probes": 4}}))
    assert changed["index"] == {"kind": "ivf", "lists": 16, "probes": 4}
    told = done(client.get("/v1/collections/lists/stats"))["index"]
    assert (told["kind"], told.get("lists", 16), told.get("probes", 4)) == ("ivf", 16, 4)


def test_drift_looks_at_the_latest(client: httpx.Client) -> None:
    put(client, "latest")
    for place in range(3):
        index(client, "latest", [{"id": f"{9 - place}", "code": "00000000"}])
    assert done(client.get("/v1/collections/latest/drift", params={"items": 2}))["items"] == 2


def test_what_one_name_means_no_other_means(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    put(client, "names")
    code = "00" * (BITS // 8)
    old = "old\x85"
    with monkeypatch.context() as before:
        # As a service before it refused them.
        before.setattr(fields, "_MORE_CONTROL", re.compile("$^"))
        index(client, "names", [{"id": each, "code": code} for each in ("a", "\ufffd", old, "a/b")])
    path = "/v1/collections/names"
    for wrong in ("a%0A", "%ff", "a%00", "a%zz"):
        assert done(client.delete(httpx.URL(f"{client.base_url}{path}/items/{wrong}")), 404)["title"] == "Not Found"
    assert done(client.get(path))["count"] == 4
    again = client.post(f"{path}/index", json={"items": [{"id": old, "code": code}]})
    assert "control characters" in done(again, 422)["detail"]
    assert done(client.get(f"{path}/items/old%C2%85"))["id"] == old
    assert {each["id"] for each in done(client.get(f"{path}/items"))["items"]} == {"a", "\ufffd", old, "a/b"}
    found = done(client.post(f"{path}/search", json={"query": {"id": old}}))["results"]
    assert {each["id"] for each in found} == {"a", "\ufffd", "a/b"}
    assert done(client.post(f"{path}/delete", json={"ids": ["nope", old]})) == {"deleted": 1}
    assert done(client.delete(f"{path}/items/a%2Fb")) == {"deleted": 1}
    assert done(client.get(path))["count"] == 2

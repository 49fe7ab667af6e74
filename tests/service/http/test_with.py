"""What matches and items carry, as `with` asks: every combination, in every order of search, beside a plain search."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np
import pytest

from models.codes import pack
from service.coding import carrying
from tests.conftest import DIMENSION
from tests.serving import client_of

PARTS = ("payload", "code", "features")
SUBSETS = [list(chosen) for size in range(4) for chosen in combinations(PARTS, size)]
ALWAYS = {"id", "distance", "similarity"}


@dataclass
class Held:
    """What each item of the collections `float16` and `int8` is to bring along, by id and part."""

    client: httpx.Client
    vectors: np.ndarray
    parts: dict[str, dict[str, dict[str, Any]]]

    def search(self, keep: str, **request: object) -> Any:
        reply = self.client.post(f"/v1/collections/with-{keep}/search", json=request)
        assert reply.status_code == 200, reply.text
        return reply.json()["results"]


def quantised(vectors: np.ndarray, keep: str) -> np.ndarray:
    if keep == "float16":
        return vectors.astype(np.float16).astype(np.float32)
    scales = (np.abs(vectors).max(1, keepdims=True) / 127).astype(np.float32)
    return (np.rint(vectors / scales) * scales.astype(np.float64)).astype(np.float32)


@pytest.fixture(scope="module")
def held(client: httpx.Client) -> Held:
    vectors = np.random.default_rng(11).standard_normal((60, DIMENSION)).astype(np.float32)
    body = {"hasher": "vectors", "inputs": [{"vector": row.tolist()} for row in vectors], "logits": True}
    reply = client.post("/v1/encode", json=body).json()
    # The codes once more, by NumPy, of the logits.
    codes = [code.tobytes().hex() for code in pack(np.array(reply["logits"], np.float32))]
    assert codes == reply["codes"]
    ids = [f"{number:02}" for number in range(60)]
    # Every third was given no payload.
    payloads = [{"n": number} if number % 3 else {} for number in range(60)]
    parts: dict[str, dict[str, dict[str, Any]]] = {}
    for keep in ("none", "float16", "int8"):
        name = f"with-{keep}"
        assert client.put(f"/v1/collections/{name}", json={"hasher": "vectors", "keep_features": keep}).is_success
        items = [
            {"id": item_id, "vector": row.tolist(), **({"payload": payload} if payload else {})}
            for item_id, row, payload in zip(ids, vectors, payloads, strict=True)
        ]
        assert client.post(f"/v1/collections/{name}/index", json={"items": items}).json() == {"indexed": 60}
        features = quantised(vectors, "int8" if keep == "none" else keep)
        parts[keep] = {
            item_id: {"payload": payload, "code": code, "features": row.tolist()}
            for item_id, payload, code, row in zip(ids, payloads, codes, features, strict=True)
        }
    return Held(client, vectors, parts)


def check(match: dict[str, Any], parts: list[str], expected: dict[str, Any], always: set[str]) -> None:
    assert match.keys() == always | set(parts)
    for part in parts:
        if part == "features":
            found = np.array(match["features"], np.float32)
            assert np.array_equal(found, np.array(expected["features"], np.float32))
        else:
            assert match[part] == expected[part]


@pytest.mark.parametrize("keep", ["float16", "int8"])
@pytest.mark.parametrize("rank", ["hamming", "asymmetric", "rescored"])
def test_each_match_carries_what_was_asked_for_and_nothing_else_changes(held: Held, rank: str, keep: str) -> None:
    always = ALWAYS if rank == "hamming" else ALWAYS | {"score"}
    rows = [held.vectors[17], held.vectors[40] * 0.9]
    queries = [*({"vector": row.tolist()} for row in rows), {"id": "05"}]
    asked = {"queries": queries, "limit": 13, "rank": rank, "filter": {"not": {"n": 7}}}
    if rank != "hamming":
        asked["candidates"] = 25
    plain = held.search(keep, **asked)
    for parts in SUBSETS:
        found = held.search(keep, **asked, **{"with": parts})
        for matches, expected in zip(found, plain, strict=True):
            assert len(matches) == 13
            for match, before in zip(matches, expected, strict=True):
                check(match, parts, held.parts[keep][match["id"]], always)
                assert {name: match[name] for name in always} == {name: before[name] for name in always}
    assert all(match.keys() == always | {"payload"} for matches in plain for match in matches)


def test_what_is_asked_beside_one_another_is_answered_each_by_its_own(held: Held) -> None:
    """Searches that wait at one time are made together: not those that want other parts."""

    def ask(number: int) -> None:
        parts = SUBSETS[number % len(SUBSETS)]
        with client_of(held.client.base_url, timeout=60) as client:
            for row in held.vectors[number : number + 5]:
                body = {"query": {"vector": row.tolist()}, "limit": 4, "with": parts}
                results = client.post("/v1/collections/with-int8/search", json=body).json()["results"]
                assert len(results) == 4
                for match in results:
                    check(match, parts, held.parts["int8"][match["id"]], ALWAYS)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(48)))


def test_more_features_than_a_reply_may_have_are_refused(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "MOST_NUMBERS", 6 * DIMENSION)
    told = f"with: expected features of {6 * DIMENSION} numbers at most in a reply, got {{}}: ask for fewer items"
    for keep in ("float16", "int8"):
        for rank in ("hamming", "rescored"):
            asked = {"limit": 2, "rank": rank, "with": ["features"]}
            # The same items, found by each of them, are told by each of them.
            queries = [{"vector": held.vectors[3].tolist()}] * 3
            assert len(held.search(keep, queries=queries, **asked)) == 3
            body = {"queries": [*queries, queries[0]], **asked}
            reply = held.client.post(f"/v1/collections/with-{keep}/search", json=body)
            assert (reply.status_code, reply.json()["detail"]) == (422, told.format(8 * DIMENSION))
        path = f"/v1/collections/with-{keep}/items?with=features"
        assert len(held.client.get(f"{path}&limit=6").json()["items"]) == 6
        reply = held.client.get(f"{path}&limit=7")
        assert (reply.status_code, reply.json()["detail"]) == (422, told.format(7 * DIMENSION))
    # What is only ranked by is not told.
    assert len(held.search("int8", queries=[{"id": "05"}] * 20, limit=3, rank="rescored")) == 20


def test_the_order_of_parts_and_repeats_do_not_matter(held: Held) -> None:
    query = {"query": {"id": "03"}, "limit": 5}
    (one, other) = (
        held.search("int8", **query, **{"with": parts}) for parts in (["code", "payload", "code"], ["payload", "code"])
    )
    assert one == other and len(one) == 5


@pytest.mark.parametrize("keep", ["float16", "int8"])
@pytest.mark.parametrize("parts", SUBSETS[1:])
def test_items_by_themselves_and_pages_carry_the_same(held: Held, keep: str, parts: list[str]) -> None:
    path = f"/v1/collections/with-{keep}/items"
    for item_id in ("00", "01", "59"):
        item = held.client.get(f"{path}/{item_id}", params={"with": parts}).json()
        assert item["id"] == item_id
        check(item, parts, held.parts[keep][item_id], {"id", "hasher"})
        assert item["hasher"] == "vectors@1"
    page = held.client.get(path, params={"with": parts, "limit": 60}).json()
    assert [item["id"] for item in page["items"]] == sorted(held.parts[keep])
    for item in page["items"]:
        check(item, parts, held.parts[keep][item["id"]], {"id"})


def test_without_it_items_carry_code_and_payload(held: Held) -> None:
    expected = held.parts["int8"]["07"]
    item = held.client.get("/v1/collections/with-int8/items/07").json()
    assert item == {"id": "07", "code": expected["code"], "payload": expected["payload"], "hasher": "vectors@1"}


def test_features_that_are_not_kept_are_refused_and_the_rest_is_not(held: Held) -> None:
    wrong = "with: expected a collection that keeps features, got features for one that does not"
    vector = held.vectors[0].tolist()
    bodies: list[dict[str, Any]] = [
        {"query": {"vector": vector}, "with": ["features"]},
        {"queries": [], "with": ["code", "features"]},
        {"queries": [{"id": "01"}], "rank": "asymmetric", "with": ["features"]},
    ]
    replies = [held.client.post("/v1/collections/with-none/search", json=body) for body in bodies]
    replies += [
        held.client.get(f"/v1/collections/with-none/items{end}", params={"with": "features"}) for end in ("/01", "")
    ]
    for reply in replies:
        assert (reply.status_code, reply.json()["detail"]) == (422, wrong)
    (match,) = held.search("none", query={"id": "00"}, limit=1, **{"with": ["code"]})
    check(match, ["code"], held.parts["none"][match["id"]], ALWAYS)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["vector"], "with/0: expected 'payload', 'code', 'features' or 'document', got 'vector'"),
        ("code", "with: expected a list, got 'code'"),
        (None, "with: expected a list, got null"),
        (["code"] * 5, "with: expected at most 4 values"),
        ([1] * 100_000, "with/0: expected"),
    ],
)
def test_what_it_cannot_be_is_told(held: Held, value: Any, told: str) -> None:
    content = json.dumps({"query": {"id": "00"}, "with": value})
    reply = held.client.post(
        "/v1/collections/with-int8/search", content=content, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(told)
    assert len(reply.json()["errors"]) == 1


def test_the_name_that_python_needs_is_not_taken_for_it(held: Held) -> None:
    body = {"query": {"id": "00"}, "carried": ["code"]}
    reply = held.client.post("/v1/collections/with-int8/search", json=body)
    assert reply.status_code == 422 and reply.json()["detail"].startswith("carried: expected nothing of this name")


def test_an_upsert_between_changes_all_parts_together(held: Held) -> None:
    """Code, payload and features of one moment: each version of an item says its number in all of them."""
    client = held.client
    name = "with-moving"
    assert client.put(f"/v1/collections/{name}", json={"hasher": "vectors", "keep_features": "float16"}).is_success
    rows = held.vectors[:8].astype(np.float16).astype(np.float32)
    body = {"hasher": "vectors", "inputs": [{"vector": row.tolist()} for row in rows]}
    codes = client.post("/v1/encode", json=body).json()["codes"]
    done = Event()

    def index(writing: httpx.Client, version: int) -> None:
        items = [{"id": str(n), "vector": rows[version].tolist(), "payload": {"version": version}} for n in range(5)]
        assert writing.post(f"/v1/collections/{name}/index", json={"items": items}).is_success

    def write() -> None:
        with client_of(client.base_url, timeout=60) as writing:
            version = 0
            while not done.is_set():
                version = (version + 1) % len(rows)
                index(writing, version)

    index(client, 0)
    thread = Thread(target=write)
    thread.start()
    try:
        for _ in range(40):
            body = {"query": {"code": codes[0]}, "limit": 5, "with": list(PARTS)}
            found = client.post(f"/v1/collections/{name}/search", json=body).json()["results"]
            page = client.get(f"/v1/collections/{name}/items", params={"with": PARTS}).json()["items"]
            alone = client.get(f"/v1/collections/{name}/items/3", params={"with": PARTS}).json()
            assert len(found) == len(page) == 5
            # A write is of all five: so is an answer.
            assert len({item["payload"]["version"] for item in page}) == 1
            for item in (*found, *page, alone):
                version = item["payload"]["version"]
                assert item["code"] == codes[version]
                assert np.array_equal(np.array(item["features"], np.float32), rows[version])
    finally:
        done.set()
        thread.join()

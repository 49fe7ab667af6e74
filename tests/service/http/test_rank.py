"""The orders beside Hamming's, against NumPy over logits and over features quantised here once more."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from service.search import features_read
from service.settings import Settings
from tests.conftest import DIMENSION

KEPT = ("none", "float16", "int8")
DISTINCT = 250
COPIES = 3
Scored = list[tuple[float, str, int]]


@dataclass
class Held:
    """What the collections hold: vectors (n, 12) float32, their ids and their bits (n, 64)."""

    client: httpx.Client
    ids: list[str]
    vectors: np.ndarray
    bits: np.ndarray

    def search(self, keep: str, **request: object) -> Any:
        reply = self.client.post(f"/v1/collections/{keep}/search", json=request)
        assert reply.status_code == 200, reply.text
        return reply.json()["results"]

    def logits(self, vector: np.ndarray) -> np.ndarray:
        body = {"hasher": "vectors", "inputs": [{"vector": vector.tolist()}], "logits": True}
        (logits,) = self.client.post("/v1/encode", json=body).json()["logits"]
        return np.array(logits, np.float32)

    def candidates(self, bits: np.ndarray, number: int, without: str | None = None) -> list[tuple[int, str, int]]:
        """(distance, id, row) of the nearest by code."""
        distances = (self.bits != bits).sum(1).tolist()
        every = sorted(zip(distances, self.ids, range(len(self.ids)), strict=True))
        return [each for each in every if each[1] != without][:number]


def scored(candidates: list[tuple[int, str, int]], scores: np.ndarray) -> Scored:
    """(score, id, distance) in order; `scores` (n,) float64 are of all rows."""
    return sorted((float(scores[row]), item_id, distance) for distance, item_id, row in candidates)


def quantised(vectors: np.ndarray, keep: str) -> np.ndarray:
    """Vectors (n, d) float32 as they come back when they were kept."""
    if keep == "float16":
        return vectors.astype(np.float16).astype(np.float32)
    scales = (np.abs(vectors).max(1, keepdims=True) / 127).astype(np.float32)
    return np.round(vectors / scales) * scales


def by_logits(held: Held, logits: np.ndarray) -> np.ndarray:
    differ = held.bits != (logits > 0)
    return (differ * np.abs(logits).astype(np.float64)).sum(1)


def by_features(held: Held, query: np.ndarray, keep: str) -> np.ndarray:
    distances: np.ndarray = np.sqrt(((quantised(held.vectors, keep) - query.astype(np.float64)) ** 2).sum(1))
    return distances


def check(results: list[dict[str, Any]], expected: Scored) -> None:
    assert [(match["id"], match["distance"]) for match in results] == [(each[1], each[2]) for each in expected]
    assert [match["score"] for match in results] == pytest.approx([each[0] for each in expected], rel=1e-6, abs=1e-6)
    assert [match["similarity"] for match in results] == [round(1 - each[2] / 64, 4) for each in expected]


@pytest.fixture(scope="module")
def held(client: httpx.Client) -> Held:
    """Each vector three times: so every score ties."""
    rng = np.random.default_rng(3)
    vectors = np.repeat(rng.standard_normal((DISTINCT, DIMENSION)).astype(np.float32), COPIES, axis=0)
    ids = [f"{number:04}" for number in rng.permutation(len(vectors))]
    for keep in KEPT:
        body = {"hasher": "vectors", "keep_features": keep}
        assert client.put(f"/v1/collections/{keep}", json=body).status_code == 201
        items = [
            {"id": item_id, "vector": vector.tolist(), "payload": {"even": int(item_id) % 2 == 0, "n": int(item_id)}}
            for item_id, vector in zip(ids, vectors, strict=True)
        ]
        assert client.post(f"/v1/collections/{keep}/index", json={"items": items}).json() == {"indexed": len(items)}
    codes = [client.get(f"/v1/collections/none/items/{item_id}").json()["code"] for item_id in ids]
    packed = np.frombuffer(bytes.fromhex("".join(codes)), np.uint8).reshape(len(ids), -1)
    return Held(client, ids, vectors, np.unpackbits(packed, axis=1, bitorder="little").astype(bool))


def queries(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((number, DIMENSION)).astype(np.float32)


@pytest.mark.parametrize("keep", KEPT)
def test_asymmetric_is_the_order_of_the_logits_whose_bits_differ(held: Held, keep: str) -> None:
    others = 0
    # Default, few, fewer than the limit (which counts then), all.
    for vector, (candidates, limit, ranked) in zip(
        queries(8), [(None, 10, 100), (30, 10, 30), (5, 20, 20), (2000, 750, 750)] * 2, strict=True
    ):
        logits = held.logits(vector)
        expected = scored(held.candidates(logits > 0, ranked), by_logits(held, logits))[:limit]
        asked = {"query": {"vector": vector.tolist()}, "rank": "asymmetric", "limit": limit}
        check(held.search(keep, **asked, **({"candidates": candidates} if candidates else {})), expected)
        others += [each[2] for each in expected] != sorted(each[2] for each in expected)
    # By distance it would nearly always be another order, or nothing was shown.
    assert others >= 5


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_rescored_is_the_order_of_the_features_as_kept(held: Held, keep: str) -> None:
    others = 0
    for vector, (candidates, limit, ranked) in zip(
        queries(8, 1), [(None, 10, 1000), (60, 10, 60), (1, 40, 40), (2000, 750, 750)] * 2, strict=True
    ):
        bits = held.logits(vector) > 0
        expected = scored(held.candidates(bits, ranked), by_features(held, vector, keep))[:limit]
        asked = {"query": {"vector": vector.tolist()}, "rank": "rescored", "limit": limit}
        check(held.search(keep, **asked, **({"candidates": candidates} if candidates else {})), expected)
        others += [each[2] for each in expected] != sorted(each[2] for each in expected)
    assert others >= 5


def test_default_candidates_of_asymmetric_are_a_hundred(held: Held) -> None:
    vector = queries(1, 2)[0]
    asked = {"query": {"vector": vector.tolist()}, "rank": "asymmetric", "limit": 99}
    implied = held.search("none", **asked)
    assert implied == held.search("none", **asked, candidates=100)
    assert implied != held.search("none", **asked, candidates=750)


def test_by_distance_there_is_no_score(held: Held) -> None:
    results = held.search("int8", query={"vector": queries(1)[0].tolist()}, rank="hamming")
    assert all("score" not in match for match in results)
    assert results == held.search("int8", query={"vector": queries(1)[0].tolist()})


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_a_query_by_id_is_the_item_as_it_was_kept_and_does_not_find_itself(held: Held, keep: str) -> None:
    for row in (0, 100, 500):
        itself = held.ids[row]
        query = quantised(held.vectors, keep)[row]
        for candidates in (7, 90):
            near = held.candidates(held.bits[row], candidates, itself)
            asked = {"query": {"id": itself}, "limit": 7, "candidates": candidates}
            expected = scored(near, by_features(held, query, keep))[:7]
            check(held.search(keep, rank="rescored", **asked), expected)
            # Its two copies are as near as can be.
            assert [each[0] for each in expected[:2]] == [0, 0]
            check(held.search(keep, rank="asymmetric", **asked), scored(near, by_logits(held, held.logits(query)))[:7])


def test_many_queries_are_answered_as_one_by_one_also_beside_an_id(held: Held) -> None:
    vectors = queries(6, 4)
    mixed = [{"vector": vectors[0].tolist()}, {"id": held.ids[5]}, *({"vector": each.tolist()} for each in vectors[1:])]
    for rank in ("asymmetric", "rescored"):
        for candidates in (4, 5, 6, 7, 20):
            asked = {"rank": rank, "limit": 4, "candidates": candidates}
            together = held.search("int8", queries=mixed, **asked)
            for query, results in zip(mixed, together, strict=True):
                alone = held.search("int8", query=query, **asked)
                assert [match["id"] for match in alone] == [match["id"] for match in results]
                assert [match["score"] for match in alone] == pytest.approx([match["score"] for match in results])


def test_beside_a_filter_and_a_largest_distance_only_what_they_let_through_is_ranked(held: Held) -> None:
    for vector in queries(4, 5):
        logits = held.logits(vector)
        every = held.candidates(logits > 0, len(held.ids))
        even = [each for each in every if int(each[1]) % 2 == 0]
        farthest = even[60][0]
        within = [each for each in even if each[0] <= farthest]
        for condition, near in (({"even": True}, even[:25]), ({"n": {"lt": 20}}, [e for e in every if int(e[1]) < 20])):
            asked = {"query": {"vector": vector.tolist()}, "limit": 15, "candidates": 25, "filter": condition}
            expected = scored(near, by_logits(held, logits))[:15]
            check(held.search("none", rank="asymmetric", **asked), expected)
            expected = scored(near, by_features(held, vector, "int8"))[:15]
            check(held.search("int8", rank="rescored", **asked), expected)
        asked = {"query": {"vector": vector.tolist()}, "max_distance": farthest, "candidates": 750}
        expected = scored(within, by_features(held, vector, "float16"))
        check(held.search("float16", rank="rescored", filter={"even": True}, **asked), expected)
        everywhere = scored([each for each in every if each[0] <= farthest], by_logits(held, logits))
        check(held.search("float16", rank="asymmetric", **asked), everywhere)


def test_refusals_say_what_was_expected_and_what_came(held: Held) -> None:
    vector, code, item = {"vector": [1.0] * DIMENSION}, {"code": "00" * 8}, {"id": held.ids[0]}
    documents = "rank: expected documents for {}, or ids where features are kept, got {} as query {}"
    cases: list[tuple[str, dict[str, Any], str]] = [
        (
            "none",
            {"query": vector, "rank": "rescored"},
            "rank: expected a collection that keeps features, got rescored",
        ),
        ("int8", {"query": code, "rank": "rescored"}, documents.format("rescored", "a code", 0)),
        ("none", {"query": code, "rank": "asymmetric"}, documents.format("asymmetric", "a code", 0)),
        ("none", {"query": item, "rank": "asymmetric"}, documents.format("asymmetric", "an id where they are not", 0)),
        ("int8", {"queries": [item, vector, code], "rank": "asymmetric"}, documents.format("asymmetric", "a code", 2)),
        ("int8", {"query": vector, "candidates": 5}, "candidates: expected them with rank asymmetric or rescored"),
        ("int8", {"query": vector, "rank": "rescored", "candidates": 0}, "candidates: expected at least"),
        (
            "int8",
            {"query": vector, "rank": "rescored", "candidates": 10_001},
            "candidates: expected at most 10000, got",
        ),
        (
            "int8",
            {"query": vector, "rank": "cosine"},
            "rank: expected 'hamming', 'asymmetric' or 'rescored', got",
        ),
    ]
    for keep, body, detail in cases:
        reply = held.client.post(f"/v1/collections/{keep}/search", json=body)
        assert reply.status_code == 422
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"].startswith(detail)


def test_candidates_are_bounded_over_all_queries(held: Held) -> None:
    """Ten for each match that a reply may have, `max_matches` of them: what is ranked is held meanwhile."""
    query = {"vector": held.vectors[0].tolist()}
    for rank in ("asymmetric", "rescored"):
        body = {"queries": [query] * 200, "limit": 1, "rank": rank, "candidates": 5000}
        reply = held.client.post("/v1/collections/int8/search", json={**body, "candidates": 5001})
        assert reply.status_code == 422
        assert reply.json()["detail"] == "candidates: expected at most 5000 for so many queries, got 5001"
        found = held.search("int8", **body)
        assert len(found) == 200 and all(matches == found[0] for matches in found)


def test_features_are_read_again_where_they_are_too_many_to_hold(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"queries": [{"id": item_id} for item_id in held.ids[:20]], "limit": 9, "rank": "rescored"}
    plain = held.search("float16", **asked, candidates=30)
    monkeypatch.setattr(features_read, "MOST_BYTES", 40 * 2 * DIMENSION)
    assert held.search("float16", **asked, candidates=30) == plain


def test_a_collection_that_keeps_features_takes_no_ready_made_codes(held: Held) -> None:
    code = {"id": "code", "code": "00" * 8}
    wrong = "expected a document, as the collection keeps features, got code"
    for keep in ("float16", "int8"):
        path = f"/v1/collections/{keep}"
        reply = held.client.post(f"{path}/index", json={"items": [{"id": "good", "vector": [1] * DIMENSION}, code]})
        assert reply.status_code == 422
        assert reply.json()["detail"] == f"nothing was indexed: items/1/code: {wrong}"
        line = '{"id": "code", "code": "0000000000000000"}'
        reply = held.client.post(f"{path}/index", content=line, headers={"Content-Type": "application/x-ndjson"})
        assert reply.status_code == 422
        assert reply.json()["detail"] == f"nothing was indexed: line 1: {wrong}"
        assert held.client.get(path).json()["count"] == len(held.ids)
    body = {"bits": 64, "keep_features": "int8"}
    reply = held.client.put("/v1/collections/own", json=body)
    assert reply.status_code == 422
    assert reply.json()["detail"] == "keep_features: expected a hasher to keep features of, got int8 without one"


def test_features_go_with_their_items(client: httpx.Client, settings: Settings) -> None:
    def kept() -> int:
        with closing(sqlite3.connect(settings.database)) as database:
            (number,) = database.execute("SELECT count(*) FROM features").fetchone()
        return int(number)

    def index(*items: tuple[str, list[float]]) -> None:
        body = {"items": [{"id": item_id, "vector": vector} for item_id, vector in items]}
        assert client.post("/v1/collections/going/index", json=body).json() == {"indexed": len(items)}

    def rescored() -> list[tuple[str, float]]:
        body = {"query": {"vector": [0.0] * DIMENSION}, "rank": "rescored"}
        results = client.post("/v1/collections/going/search", json=body).json()["results"]
        return [(match["id"], match["score"]) for match in results]

    before = kept()
    assert (
        client.put("/v1/collections/going", json={"hasher": "vectors", "keep_features": "float16"}).status_code == 201
    )
    rows = {number: [float(number)] + [0.0] * (DIMENSION - 1) for number in range(6)}
    index(*((str(number), rows[number]) for number in (3, 1, 2)))
    assert kept() == before + 3
    assert rescored() == [("1", 1.0), ("2", 2.0), ("3", 3.0)]
    # Replaced: the new ones count, the old ones are gone.
    index(("1", rows[5]), ("2", rows[2]))
    assert kept() == before + 3
    assert rescored() == [("2", 2.0), ("3", 3.0), ("1", 5.0)]
    assert client.delete("/v1/collections/going/items/3").json() == {"deleted": 1}
    assert kept() == before + 2
    assert rescored() == [("2", 2.0), ("1", 5.0)]
    assert client.delete("/v1/collections/going").status_code == 204
    assert kept() == before


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_the_largest_vectors_have_scores_too(client: httpx.Client, keep: str) -> None:
    name = f"large-{keep}"
    assert client.put(f"/v1/collections/{name}", json={"hasher": "vectors", "keep_features": keep}).status_code == 201
    largest = 65504.0 if keep == "float16" else 3e38
    rows = {"a": [-3e38] * DIMENSION, "b": [3e38] * DIMENSION, "c": [0.0] * DIMENSION}
    items = [{"id": item_id, "vector": row} for item_id, row in rows.items()]
    assert client.post(f"/v1/collections/{name}/index", json={"items": items}).json() == {"indexed": 3}
    length = np.sqrt(DIMENSION)
    for query, size in (({"id": "b"}, largest), ({"vector": rows["b"]}, 3e38)):
        body = {"query": query, "rank": "rescored"}
        results = client.post(f"/v1/collections/{name}/search", json=body).json()["results"]
        expected = {"c": size * length, "a": (size + largest) * length}
        if "vector" in query:
            expected = {"b": (size - largest) * length, **expected}
        found = {match["id"]: match["score"] for match in results}
        assert found == pytest.approx(expected, rel=1e-6, abs=largest * 1e-6)
        assert list(found.values()) == sorted(found.values())
        results = client.post(f"/v1/collections/{name}/search", json={"query": query, "rank": "asymmetric"}).json()
        scores = [match["score"] for match in results["results"]]
        assert None not in scores and scores == sorted(scores)

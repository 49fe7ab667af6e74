import httpx
import numpy as np
import pytest

from models.codes import hamming, to_hex
from service.store import lookups

BITS = 16


@pytest.fixture(scope="module")
def truth(client: httpx.Client) -> dict[str, np.ndarray]:
    """A collection of 3,000 codes with few distances, so with many ties; some replaced, some deleted."""
    rng = np.random.default_rng(0)
    assert client.put("/v1/collections/ties", json={"bits": BITS}).status_code == 201
    held: dict[str, np.ndarray] = {}
    for start in range(0, 3000, 1000):
        ids = [f"{rng.integers(10**9)}-{'é' * int(rng.integers(3))}{n}" for n in range(start, start + 1000)]
        # Three bits of each byte vary: 64 distinct codes.
        codes = rng.integers(0, 8, (1000, 2), dtype=np.uint8)
        _index(client, dict(zip(ids, codes, strict=True)))
        held.update(zip(ids, codes, strict=True))
    changed = {item_id: rng.integers(0, 8, 2, dtype=np.uint8) for item_id in list(held)[::7]}
    _index(client, changed)
    held.update(changed)
    gone = list(held)[::5]
    assert client.post("/v1/collections/ties/delete", json={"ids": gone}).json() == {"deleted": len(gone)}
    return {item_id: code for item_id, code in held.items() if item_id not in set(gone)}


def _index(client: httpx.Client, codes: dict[str, np.ndarray]) -> None:
    items = [{"id": item_id, "code": to_hex(code), "payload": {"id": item_id}} for item_id, code in codes.items()]
    reply = client.post("/v1/collections/ties/index", json={"items": items})
    assert reply.json() == {"indexed": len(items)}


def _brute_force(truth: dict[str, np.ndarray], code: np.ndarray) -> list[tuple[int, str]]:
    distances = hamming(code[None], np.stack(list(truth.values())))[0]
    return sorted(zip(distances.tolist(), truth, strict=True))


def _search(client: httpx.Client, **request: object) -> list[dict[str, object]]:
    reply = client.post("/v1/collections/ties/search", json=request)
    assert reply.status_code == 200, reply.text
    results: list[dict[str, object]] = reply.json()["results"]
    return results


def _pairs(results: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(match["distance"], match["id"]) for match in results]


@pytest.mark.parametrize("limit", [1, 2, 10, 100, 1000, 5000])
def test_answers_equal_numpy_brute_force_with_ties_in_the_order_of_ids(
    client: httpx.Client, truth: dict[str, np.ndarray], limit: int
) -> None:
    rng = np.random.default_rng(limit)
    for code in rng.integers(0, 8, (8, 2), dtype=np.uint8):
        expected = _brute_force(truth, code)
        assert _pairs(_search(client, query={"code": to_hex(code)}, limit=limit)) == expected[:limit]


def test_ties_of_more_items_than_are_sorted_at_once(client: httpx.Client) -> None:
    client.put("/v1/collections/same", json={"bits": 8})
    ids = [f"{number * 7919 % 10007:05}" for number in range(10007)]
    lines = "\n".join(f'{{"id": "{item_id}", "code": "01"}}' for item_id in ids)
    headers = {"Content-Type": "application/x-ndjson"}
    assert client.post("/v1/collections/same/index", content=lines, headers=headers).json()["indexed"] == 10007
    reply = client.post("/v1/collections/same/search", json={"query": {"code": "00"}, "limit": 50}).json()
    assert [match["id"] for match in reply["results"]] == sorted(ids)[:50]


def test_max_distance_is_inclusive_and_alone_gives_all_within(
    client: httpx.Client, truth: dict[str, np.ndarray]
) -> None:
    code = np.array([3, 5], np.uint8)
    for farthest in (0, 1, 2, BITS):
        expected = [pair for pair in _brute_force(truth, code) if pair[0] <= farthest]
        query = {"code": to_hex(code)}
        assert _pairs(_search(client, query=query, max_distance=farthest)) == expected
        assert _pairs(_search(client, query=query, max_distance=farthest, limit=7)) == expected[:7]


def test_a_query_by_id_finds_all_but_itself(client: httpx.Client, truth: dict[str, np.ndarray]) -> None:
    for item_id in list(truth)[::400]:
        expected = [pair for pair in _brute_force(truth, truth[item_id]) if pair[1] != item_id]
        assert _pairs(_search(client, query={"id": item_id}, limit=200)) == expected[:200]


def test_many_queries_are_answered_as_one_by_one(client: httpx.Client, truth: dict[str, np.ndarray]) -> None:
    queries: list[dict[str, str]] = [{"code": "0102"}, {"id": next(iter(truth))}, {"code": "0707"}]
    together = _search(client, queries=queries, limit=5)
    assert together == [_search(client, query=query, limit=5) for query in queries]
    assert _search(client, queries=[]) == []


def test_each_query_that_cannot_be_used_is_named_as_it_was_asked(
    client: httpx.Client, truth: dict[str, np.ndarray]
) -> None:
    path, there = "/v1/collections/ties/search", next(iter(truth))
    unknown = "expected the id of an item of 'ties', got {!r}"
    no_code = "expected a code of 4 hex digits, got 2: 'zz'"
    for request, status, faults in (
        ({"query": {"id": "no"}}, 404, [("query/id", unknown.format("no"))]),
        ({"query": {"code": "zz"}}, 422, [("query/code", no_code)]),
        ({"queries": [{"code": "zz"}]}, 422, [("queries/0/code", no_code)]),
        (
            {"queries": [{"id": "no"}, {"id": there}, {"id": "nor"}]},
            404,
            [("queries/0/id", unknown.format("no")), ("queries/2/id", unknown.format("nor"))],
        ),
    ):
        reply = client.post(path, json=request)
        problem = reply.json()
        assert (reply.status_code, problem["title"]) == (status, "Unknown item" if status == 404 else "Invalid input")
        assert [(each["where"], each["detail"]) for each in problem["errors"]] == faults
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        assert problem["detail"] == f"nothing was searched: {faults[0][0]}: {faults[0][1]}{more}"


def test_payloads_of_a_reply_are_bounded_together(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v1/collections/large"
    client.put(path, json={"bits": 8}).raise_for_status()
    # 9 bytes each, as JSON.
    items = [{"id": str(n), "code": "00", "payload": {"t": "x"}} for n in range(5)]
    client.post(f"{path}/index", json={"items": items}).raise_for_status()
    monkeypatch.setattr(lookups, "MOST_PAYLOAD_BYTES", 20)
    query = {"code": "00"}

    def asked(**request: object) -> tuple[int, str | None]:
        reply = client.post(f"{path}/search", json=request)
        return reply.status_code, reply.json().get("detail")

    def refused(size: int) -> tuple[int, str]:
        return 422, f"limit: expected items with payloads of 20 bytes at most together, got {size}: ask for fewer"

    assert asked(query=query, limit=2) == (200, None)
    assert asked(query=query, limit=3) == refused(27)
    # One item may be found by each of many.
    assert asked(queries=[query] * 3, limit=1) == refused(27)
    assert asked(queries=[query] * 3, limit=1, **{"with": ["code"]}) == (200, None)
    # Of very many items they are not even read.
    monkeypatch.setattr(lookups, "MANY_ITEMS", 4)
    assert asked(query=query, limit=4, **{"with": []}) == (200, None)
    assert asked(query=query, limit=5, **{"with": []}) == refused(45)


def test_a_match_has_similarity_and_payload(client: httpx.Client, truth: dict[str, np.ndarray]) -> None:
    for match in _search(client, query={"code": "ffff"}, limit=3):
        assert match["similarity"] == round(1 - int(str(match["distance"])) / BITS, 4)
        assert match["payload"] == {"id": match["id"]}


def test_an_empty_collection_answers_nothing(client: httpx.Client) -> None:
    assert client.put("/v1/collections/empty", json={"bits": 8}).status_code == 201
    reply = client.post("/v1/collections/empty/search", json={"query": {"code": "00"}})
    assert reply.json() == {"results": [], "hasher": None}

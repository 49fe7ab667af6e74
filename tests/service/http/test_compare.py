"""Two side by side, against the codes and logits that NumPy has of them."""

from typing import Any

import httpx
import numpy as np
import pytest

from models.codes import pack
from tests.conftest import DIMENSION

VECTORS = np.random.default_rng(5).standard_normal((6, DIMENSION)).astype(np.float32)


def logits(client: httpx.Client, vectors: np.ndarray) -> np.ndarray:
    body = {"hasher": "vectors", "inputs": [{"vector": row.tolist()} for row in vectors], "logits": True}
    return np.array(client.post("/v1/encode", json=body).json()["logits"], np.float32)


@pytest.fixture(scope="module", autouse=True)
def collections(client: httpx.Client) -> None:
    assert client.put("/v1/collections/own", json={"bits": 16}).status_code == 201
    items = [{"id": "a", "code": "0180"}, {"id": "b", "code": "0080"}]
    assert client.post("/v1/collections/own/index", json={"items": items}).json() == {"indexed": 2}
    for keep in ("none", "float16"):
        assert client.put(f"/v1/collections/{keep}", json={"hasher": "vectors", "keep_features": keep}).is_success
        vectors = [{"id": str(n), "vector": row.tolist()} for n, row in enumerate(VECTORS)]
        assert client.post(f"/v1/collections/{keep}/index", json={"items": vectors}).json() == {"indexed": 6}


def compare(client: httpx.Client, name: str, a: dict[str, Any], b: dict[str, Any]) -> Any:
    reply = client.post(f"/v1/collections/{name}/compare", json={"a": a, "b": b})
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_bits_are_numbered_as_codes_are_packed(client: httpx.Client) -> None:
    """Worked by hand: byte 0 is 0x01 against 0x00, byte 1 is 0x80 against 0x06."""
    assert compare(client, "own", {"id": "a"}, {"code": "0006"}) == {
        "distance": 4,
        "similarity": 0.75,
        "bits": 16,
        "differing": [0, 9, 10, 15],
        "a": {"code": "0180"},
        "b": {"code": "0006"},
        "hasher": None,
    }
    same = compare(client, "own", {"id": "b"}, {"code": "0080"})
    assert (same["distance"], same["similarity"], same["differing"]) == (0, 1.0, [])
    far = compare(client, "own", {"code": "0000"}, {"code": "FFFF"})
    assert (far["distance"], far["similarity"], far["differing"]) == (16, 0.0, list(range(16)))
    assert far["b"] == {"code": "ffff"}


def test_documents_tell_how_sure_the_encoder_was(client: httpx.Client) -> None:
    made = logits(client, VECTORS)
    codes = [code.tobytes().hex() for code in pack(made)]
    for one, other in ((0, 1), (2, 5), (3, 3)):
        found = compare(client, "none", {"vector": VECTORS[one].tolist()}, {"vector": VECTORS[other].tolist()})
        differing = np.flatnonzero((made[one] > 0) != (made[other] > 0))
        assert found["differing"] == differing.tolist()
        assert (found["distance"], found["bits"], found["hasher"]) == (len(differing), 64, "vectors@1")
        assert found["similarity"] == round(1 - len(differing) / 64, 4)
        for side, row in (("a", one), ("b", other)):
            assert found[side]["code"] == codes[row]
            # Encoded two at a time rather than six: the last digit may differ.
            assert found[side]["magnitudes"] == pytest.approx(np.abs(made[row][differing]).tolist(), rel=1e-5)


def test_the_magnitudes_explain_the_asymmetric_score(client: httpx.Client) -> None:
    """A search by the same document scores an item by the sum of what is told here."""
    query = {"vector": VECTORS[4].tolist()}
    body = {"query": query, "rank": "asymmetric", "limit": 6}
    results = client.post("/v1/collections/none/search", json=body).json()["results"]
    assert len(results) == 6
    for match in results:
        found = compare(client, "none", query, {"id": match["id"]})
        assert found["distance"] == match["distance"]
        assert sum(found["a"]["magnitudes"]) == pytest.approx(match["score"], rel=1e-5)
        assert "magnitudes" not in found["b"]


def test_items_have_magnitudes_where_their_features_are_kept(client: httpx.Client) -> None:
    made = logits(client, VECTORS.astype(np.float16).astype(np.float32))
    kept = compare(client, "float16", {"id": "1"}, {"code": "00" * 8})
    code = np.frombuffer(bytes.fromhex(kept["a"]["code"]), np.uint8)
    assert kept["differing"] == np.flatnonzero(np.unpackbits(code, bitorder="little")).tolist()
    assert kept["a"]["magnitudes"] == pytest.approx(np.abs(made[1][kept["differing"]]).tolist(), rel=1e-5)
    assert "magnitudes" not in kept["b"]
    assert "magnitudes" not in compare(client, "none", {"id": "1"}, {"code": "00" * 8})["a"]


@pytest.mark.parametrize(
    ("name", "body", "status", "told"),
    [
        ("own", {"a": {"id": "a"}}, 422, "b: expected a value, got none"),
        ("own", {"a": {"id": "a"}, "b": {}}, 422, "b: expected exactly one of text, image, vector, code, id, got none"),
        (
            "own",
            {"a": {"id": "a"}, "b": {"id": "nope"}},
            404,
            "nothing was compared: b/id: expected the id of an item of 'own', got 'nope'",
        ),
        (
            "own",
            {"a": {"id": "neither"}, "b": {"id": "nope"}},
            404,
            "nothing was compared: a/id: expected the id of an item of 'own', got 'neither' (and 1 more)",
        ),
        ("own", {"a": {"code": "00"}, "b": {"id": "a"}}, 422, "nothing was compared: a/code: expected a code of 4 hex"),
        ("own", {"a": {"id": "a"}, "b": {"text": "x"}}, 422, "nothing was compared: b/text: expected a code, as the"),
        (
            "none",
            {"a": {"vector": [1.0]}, "b": {"vector": []}},
            422,
            "nothing was compared: a/vector: expected a vector of 12 numbers, got 1 (and 1 more)",
        ),
        ("nowhere", {"a": {"id": "a"}, "b": {"id": "b"}}, 404, "expected the name of a collection"),
    ],
)
def test_refusals_name_the_side(client: httpx.Client, name: str, body: dict[str, Any], status: int, told: str) -> None:
    reply = client.post(f"/v1/collections/{name}/compare", json=body)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"].startswith(told), reply.json()["detail"]


def test_two_unknown_ids_are_both_named(client: httpx.Client) -> None:
    reply = client.post("/v1/collections/own/compare", json={"a": {"id": "neither"}, "b": {"id": "nope"}}).json()
    assert reply["title"] == "Unknown item"
    assert reply["errors"] == [
        {"where": "a/id", "detail": "expected the id of an item of 'own', got 'neither'"},
        {"where": "b/id", "detail": "expected the id of an item of 'own', got 'nope'"},
    ]

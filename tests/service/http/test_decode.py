"""Codes back to what the decoder remembers, against the decoder itself and against brute force."""

import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.codes import hamming, pack
from models.features.pixels import PixelFeatures
from models.hasher import Hasher
from service.settings import Settings
from service.store import lookups
from tests.conftest import DIMENSION
from tests.serving import running

CODES = np.random.default_rng(1).integers(0, 256, (7, 8), dtype=np.uint8)
HEX = [code.tobytes().hex() for code in CODES]
BASE64 = [base64.b64encode(code.tobytes()).decode() for code in CODES]
BITS = ["".join(map(str, np.unpackbits(code, bitorder="little"))) for code in CODES]
TEXTS = ["sort a list", "copy a directory", "parse a date", "open a socket", "sort a list", "join two paths"]


def decode(client: httpx.Client, **body: object) -> Any:
    reply = client.post("/v1/decode", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize(("form", "codes"), [("hex", HEX), ("base64", BASE64), ("bits", BITS)])
def test_vectors_are_the_decoders_own_whatever_the_format(
    client: httpx.Client, hashers: Path, form: str, codes: list[str]
) -> None:
    found = decode(client, hasher="vectors", codes=codes, format=form)
    assert found.keys() == {"hasher", "documents"} and found["hasher"] == "vectors@1"
    assert all(document.keys() == {"vector"} for document in found["documents"])
    rows = np.array([document["vector"] for document in found["documents"]], np.float32)
    assert np.array_equal(rows, Hasher.load(hashers / "vectors@1").decode(CODES))


def test_hex_is_the_default_and_either_case_is_taken(client: httpx.Client) -> None:
    expected = decode(client, hasher="vectors@1", codes=HEX, format="hex")
    assert decode(client, hasher="vectors", codes=[code.upper() for code in HEX]) == expected


def test_what_encode_gives_decode_takes_and_back_again(client: httpx.Client) -> None:
    """What is decoded is fit to be encoded, and is nearer to its own code than to those of others."""
    vectors = np.random.default_rng(2).standard_normal((20, DIMENSION)).tolist()
    for form in ("hex", "base64", "bits"):
        inputs = [{"vector": vector} for vector in vectors]
        codes = client.post("/v1/encode", json={"hasher": "vectors", "inputs": inputs, "format": form}).json()["codes"]
        documents = decode(client, hasher="vectors", codes=codes, format=form)["documents"]
        again = client.post("/v1/encode", json={"hasher": "vectors", "inputs": documents}).json()["codes"]
        first = client.post("/v1/encode", json={"hasher": "vectors", "inputs": inputs}).json()["codes"]
        packed = [np.array([list(bytes.fromhex(code)) for code in each], np.uint8) for each in (again, first)]
        distances = hamming(packed[0], packed[1])
        assert np.diag(distances).mean() < 0.6 * distances.mean()


def test_images_are_pngs_of_the_pixels_that_the_decoder_gives(client: httpx.Client, hashers: Path) -> None:
    hasher = Hasher.load(hashers / "digits@1")
    features = hasher.features
    assert isinstance(features, PixelFeatures)
    documents = decode(client, hasher="digits", codes=HEX)["documents"]
    rows = hasher.decode(CODES)
    for document, row in zip(documents, rows, strict=True):
        assert document.keys() == {"image"}
        image = Image.open(io.BytesIO(base64.b64decode(document["image"])))
        assert (image.format, image.mode, image.size) == ("PNG", "L", (features.width, features.height))
        pixels = np.asarray(image, np.float64).reshape(-1)
        assert np.abs(pixels - np.clip(row.astype(np.float64) * 255, 0, 255)).max() <= 0.5 + 1e-3
    inputs = {"hasher": "digits", "inputs": documents}
    assert client.post("/v1/encode", json=inputs).json()["bits"] == 64


@pytest.fixture(scope="module")
def texts(client: httpx.Client, hashers: Path) -> np.ndarray:
    """Codes (n, 8) of TEXTS, indexed with their places as ids; and collections that will not do."""
    made: dict[str, dict[str, Any]] = {
        "texts": {"hasher": "pydocs"},
        "other": {"hasher": "vectors"},
        "own": {"bits": 64},
        "short": {"bits": 16},
    }
    for name, settings in made.items():
        assert client.put(f"/v1/collections/{name}", json=settings).status_code == 201
    items = [{"id": str(place), "text": text, "payload": {"text": text}} for place, text in enumerate(TEXTS)]
    assert client.post("/v1/collections/texts/index", json={"items": items}).json() == {"indexed": len(TEXTS)}
    return Hasher.load(hashers / "pydocs@1").encode(TEXTS)


@pytest.mark.parametrize("limit", [1, 4, None])
def test_of_texts_the_nearest_that_are_indexed(client: httpx.Client, texts: np.ndarray, limit: int | None) -> None:
    asked = np.concatenate([CODES[:3], texts[2:3]])
    more = {} if limit is None else {"limit": limit}
    codes = [code.tobytes().hex() for code in asked]
    found = decode(client, hasher="pydocs", codes=codes, collection="texts", **more)
    assert found["hasher"] == "pydocs@1"
    for document, distances in zip(found["documents"], hamming(asked, texts).tolist(), strict=True):
        nearest = sorted(zip(distances, map(str, range(len(TEXTS))), strict=True))[: limit or 10]
        assert document == {
            "nearest": [
                {
                    "id": item_id,
                    "distance": distance,
                    "similarity": round(1 - distance / 64, 4),
                    "payload": {"text": TEXTS[int(item_id)]},
                }
                for distance, item_id in nearest
            ]
        }
    assert found["documents"][3]["nearest"][0]["payload"] == {"text": "parse a date"}


@pytest.mark.usefixtures("texts")
def test_no_codes_are_no_documents(client: httpx.Client) -> None:
    assert decode(client, hasher="vectors", codes=[]) == {"hasher": "vectors@1", "documents": []}
    assert decode(client, hasher="digits", codes=[]) == {"hasher": "digits@1", "documents": []}
    assert decode(client, hasher="pydocs", codes=[], collection="texts") == {"hasher": "pydocs@1", "documents": []}
    body = {"hasher": "vectors", "inputs": [], "format": "bits", "logits": True}
    reply = client.post("/v1/encode", json=body).json()
    assert reply == {"hasher": "vectors@1", "bits": 64, "codes": [], "logits": []}


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"hasher": "pydocs", "codes": HEX}, 422, "collection: expected the name of a collection that pydocs@1 codes"),
    (
        {"hasher": "pydocs", "codes": HEX, "collection": "other"},
        422,
        "collection: expected one that pydocs@1 codes, got 'other', one of vectors@1",
    ),
    (
        {"hasher": "pydocs", "codes": HEX, "collection": "own"},
        422,
        "collection: expected one that pydocs@1 codes, got 'own', one without a hasher",
    ),
    (
        {"hasher": "pydocs", "codes": HEX, "collection": "short"},
        422,
        "collection: expected one that pydocs@1 codes, got 'short', one without a hasher",
    ),
    ({"hasher": "pydocs", "codes": HEX, "collection": "nowhere"}, 404, "expected the name of a collection"),
    ({"hasher": "pydocs", "codes": HEX, "collection": "texts", "limit": 0}, 422, "limit: expected at least"),
    (
        {"hasher": "pydocs", "codes": HEX, "collection": "texts", "limit": 10_001},
        422,
        "limit: expected at most 10000, got 10001",
    ),
    (
        {"hasher": "vectors", "codes": HEX, "collection": "other"},
        422,
        "collection: expected it for a hasher of texts only, got it for vectors@1",
    ),
    ({"hasher": "digits", "codes": HEX, "limit": 3}, 422, "limit: expected it for a hasher of texts only, got it for"),
    ({"hasher": "nobody", "codes": HEX}, 404, "expected one of the hashers there are"),
    ({"hasher": "vectors", "codes": HEX, "format": "decimal"}, 422, "format: expected 'hex', 'base64' or"),
    ({"hasher": "vectors", "codes": [7]}, 422, "codes/0: expected a string, got 7"),
    ({"hasher": "vectors"}, 422, "codes: expected a value, got none"),
    ({"hasher": "vectors", "codes": ["00" * 8] * 10_001}, 413, "expected at most 10000 codes in one request"),
    ({"hasher": "pydocs", "codes": HEX * 200, "collection": "texts"}, 413, "expected at most 1000 codes for texts"),
]


@pytest.mark.parametrize(("body", "status", "told"), WRONG, ids=range(len(WRONG)))
@pytest.mark.usefixtures("texts")
def test_refusals_say_what_was_expected(client: httpx.Client, body: dict[str, Any], status: int, told: str) -> None:
    reply = client.post("/v1/decode", json=body)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"].startswith(told), reply.json()["detail"]


@pytest.mark.parametrize(
    ("form", "good", "bad", "told"),
    [
        ("hex", HEX[0], BITS[0], "expected a code of 16 hex digits, got 64: '"),
        ("hex", HEX[0], "zz" * 8, "expected a code of 16 hex digits, got 16: 'zz"),
        ("hex", HEX[0], "\u0660" * 16, "expected a code of 16 hex digits, got 16: '\u0660"),
        ("base64", BASE64[0], HEX[0], "expected a code of 64 bits as base64, got 96 bits: '"),
        ("base64", BASE64[0], BASE64[0].rstrip("="), "expected a code of 64 bits as base64, got '"),
        ("base64", BASE64[0], "é" * 12, "expected a code of 64 bits as base64, got 'é"),
        ("base64", BASE64[0], "", "expected a code of 64 bits as base64, got 0 bits: ''"),
        # The last digit before the padding has two bits over, which are to be 0.
        ("base64", "AAAAAAAAAAA=", "AAAAAAAAAAB=", "expected a code of 64 bits as base64, got "),
        ("bits", BITS[0], BITS[0][1:], "expected a code of 64 characters 0 or 1, got 63: '"),
        ("bits", BITS[0], "2" * 64, "expected a code of 64 characters 0 or 1, got 64: '22"),
        ("bits", BITS[0], "\u0661" * 64, "expected a code of 64 characters 0 or 1, got 64: '\u0661"),
        ("bits", BITS[0], "0" * 1_000_000, "expected a code of 64 characters 0 or 1, got 1000000: '00"),
    ],
)
def test_one_bad_code_and_nothing_is_decoded(client: httpx.Client, form: str, good: str, bad: str, told: str) -> None:
    body = {"hasher": "vectors", "codes": [good, bad, good, bad], "format": form}
    reply = client.post("/v1/decode", json=body)
    problem = reply.json()
    assert reply.status_code == 422
    assert problem["detail"].startswith(f"nothing was decoded: codes/1: {told}"), problem["detail"]
    assert len(problem["detail"]) < 400
    assert [fault["where"] for fault in problem["errors"]] == ["codes/1", "codes/3"]


def test_an_encoding_of_a_batch_is_all_or_nothing(client: httpx.Client) -> None:
    inputs = [{"vector": [0.5] * DIMENSION}, {"vector": [1.0]}, {"text": "x"}]
    for form in ("hex", "base64", "bits"):
        body = {"hasher": "vectors", "inputs": inputs, "format": form, "logits": True}
        problem = client.post("/v1/encode", json=body).json()
        assert problem["status"] == 422 and problem.keys().isdisjoint({"codes", "logits"})
        assert [fault["where"] for fault in problem["errors"]] == ["inputs/1/vector", "inputs/2/text"]


def test_the_bits_and_the_logits_of_a_batch_are_in_its_order(client: httpx.Client) -> None:
    vectors = np.random.default_rng(9).standard_normal((50, DIMENSION))
    body = {"hasher": "vectors", "inputs": [{"vector": row.tolist()} for row in vectors], "logits": True}
    replies = {form: client.post("/v1/encode", json={**body, "format": form}).json() for form in ("hex", "bits")}
    logits = np.array(replies["hex"]["logits"], np.float32)
    assert replies["bits"]["logits"] == replies["hex"]["logits"]
    assert replies["hex"]["codes"] == [code.tobytes().hex() for code in pack(logits)]
    assert replies["bits"]["codes"] == ["".join("01"[value > 0] for value in row) for row in logits.tolist()]
    assert len(set(replies["hex"]["codes"])) > 40


def test_a_small_largest_limit_is_the_default_too(hashers: Path, tmp_path: Path) -> None:
    with running(Settings(hashers=hashers, data=tmp_path, max_limit=2)) as client:
        assert client.put("/v1/collections/c", json={"hasher": "pydocs"}).status_code == 201
        items = [{"id": str(place), "text": text} for place, text in enumerate(TEXTS)]
        client.post("/v1/collections/c/index", json={"items": items})
        found = decode(client, hasher="pydocs", codes=HEX[:1], collection="c")
        assert [len(document["nearest"]) for document in found["documents"]] == [2]


def test_of_many_codes_no_more_is_found_than_a_search_may_find(hashers: Path, tmp_path: Path) -> None:
    with running(Settings(hashers=hashers, data=tmp_path, max_matches=7)) as client:
        assert client.put("/v1/collections/c", json={"hasher": "pydocs"}).status_code == 201
        items = [{"id": str(place), "text": text} for place, text in enumerate(TEXTS)]
        client.post("/v1/collections/c/index", json={"items": items})
        asked = {"hasher": "pydocs", "codes": HEX[:1] * 3, "collection": "c"}
        for limit, found in ((None, 2), (1, 1), (2, 2)):
            more = {} if limit is None else {"limit": limit}
            assert [len(each["nearest"]) for each in decode(client, **asked, **more)["documents"]] == [found] * 3
        reply = client.post("/v1/decode", json={**asked, "limit": 3})
        assert (reply.status_code, reply.json()["detail"]) == (
            422,
            "limit: expected at most 2 for so many codes, got 3",
        )


def test_payloads_of_the_nearest_are_bounded_as_of_a_search(
    hashers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(Settings(hashers=hashers, data=tmp_path)) as client:
        assert client.put("/v1/collections/c", json={"hasher": "pydocs"}).status_code == 201
        item = {"id": "a", "text": TEXTS[0], "payload": {"t": "x"}}
        client.post("/v1/collections/c/index", json={"items": [item]}).raise_for_status()
        monkeypatch.setattr(lookups, "MOST_PAYLOAD_BYTES", 20)
        asked: dict[str, Any] = {"hasher": "pydocs", "collection": "c"}
        assert decode(client, **asked, codes=HEX[:1] * 2)
        reply = client.post("/v1/decode", json={**asked, "codes": HEX[:1] * 3})
        assert (reply.status_code, reply.json()["errors"][0]["where"]) == (422, "limit")
        assert "payloads of 20 bytes at most together, got 27" in reply.json()["detail"]

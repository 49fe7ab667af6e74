"""Every kind of bad input: a problem detail that says what was expected and what came, and nothing changed."""

import base64
import io
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from models.card import CARD
from models.hasher import ENCODER
from service.settings import Settings
from service.store.reader import Position, Reader
from tests.conftest import DIMENSION
from tests.serving import running

NDJSON = {"Content-Type": "application/x-ndjson"}
VECTOR = [0.5] * DIMENSION


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _png(side: int = 8) -> bytes:
    png = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)).save(png, "PNG")
    return png.getvalue()


def _tiff(mode: str) -> str:
    tiff = io.BytesIO()
    Image.new("RGB", (8, 8)).convert("L" if mode == "F" else "RGB").convert(mode).save(tiff, "TIFF")
    return _base64(tiff.getvalue())


def _nested(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


DEEP = _nested(400)
GOOD: dict[str, dict[str, object]] = {
    "vectors": {"vector": VECTOR},
    "pydocs": {"text": "fine"},
    "digits": {"image": _base64(_png())},
}


@pytest.fixture(scope="module", autouse=True)
def collections(client: httpx.Client) -> None:
    for name, document in (
        ("vectors", {"vector": VECTOR}),
        ("pydocs", {"text": "a b"}),
        ("digits", {"image": _base64(_png())}),
    ):
        assert client.put(f"/v1/collections/{name}", json={"hasher": name}).status_code == 201
        reply = client.post(f"/v1/collections/{name}/index", json={"items": [{"id": "kept", **document}]})
        assert reply.json() == {"indexed": 1}, reply.text
    assert client.put("/v1/collections/own", json={"bits": 16}).status_code == 201


@pytest.fixture
def unchanged(settings: Settings) -> Iterator[None]:
    """Everything that is on disk, the same after the test as before."""
    before = _everything(settings)
    yield
    assert _everything(settings) == before


def _everything(settings: Settings) -> list[object]:
    with closing(Reader(settings.database)) as reader, reader.changes(Position()) as changes:
        added = [(each.collections.tolist(), each.sequences.tolist(), each.codes) for each in changes.added]
        return [changes.collections, changes.position, *added]


def _check(reply: httpx.Response, status: int, *told: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["request_id"] == reply.headers["x-request-id"]
    for text in told:
        assert text in problem["detail"]
    assert len(problem["detail"]) < 500


# What is wrong with a document: the collection, the document, the status, what the detail says.
DOCUMENTS = {
    "short vector": ("vectors", {"vector": VECTOR[:-1]}, 422, ["expected a vector of 12 numbers, got 11"]),
    "long vector": ("vectors", {"vector": [*VECTOR, 1]}, 422, ["a vector of 12 numbers, got 13"]),
    "empty vector": ("vectors", {"vector": []}, 422, ["expected a vector of 12 numbers, got 0"]),
    "overflowing vector": (
        "vectors",
        {"vector": [1e300, *VECTOR[1:]]},
        422,
        ["expected finite float32", "1e+300"],
    ),
    "null in a vector": ("vectors", {"vector": [None, *VECTOR[1:]]}, 422, ["vector/0", "number", "got null"]),
    "string in a vector": ("vectors", {"vector": ["1", *VECTOR[1:]]}, 422, ["vector/0", "number", "got '1'"]),
    "nested vector": ("vectors", {"vector": [VECTOR]}, 422, ["vector/0", "number"]),
    "text for vectors": ("vectors", {"text": "x"}, 422, ["expected vector, as vectors@1 takes, got text"]),
    "empty text": ("pydocs", {"text": ""}, 422, ["expected a text with at least one word, got an empty one"]),
    "blank text": ("pydocs", {"text": " \n"}, 422, ["expected a text with at least one word, got an empty one"]),
    "number for text": ("pydocs", {"text": 5}, 422, ["text", "string", "got 5"]),
    "long text": ("pydocs", {"text": "a " * 60_000}, 413, ["at most 100000 characters, got 120000"]),
    "not base64": ("digits", {"image": "???"}, 422, ["expected an image as base64, got 3 characters that are not"]),
    "not an image": ("digits", {"image": _base64(b"plain")}, 422, ["expected an image (PNG", "got 5 bytes"]),
    "empty image": ("digits", {"image": ""}, 422, ["expected an image (PNG", "got 0 bytes"]),
    "truncated PNG": ("digits", {"image": _base64(_png()[:-20])}, 422, ["expected an image", "truncated"]),
    "PNG cut in its header": ("digits", {"image": _base64(_png()[:20])}, 422, ["expected an image"]),
    "short code": ("own", {"code": "ff"}, 422, ["expected a code of 4 hex digits, got 2: 'ff'"]),
    "not hex": ("own", {"code": "zzzz"}, 422, ["expected a code of 4 hex digits", "'zzzz'"]),
    "text for own codes": ("own", {"text": "x"}, 422, ["expected a code, as the collection has no hasher, got text"]),
    "two documents": ("pydocs", {"text": "x", "code": "00" * 8}, 422, ["exactly one of", "got text and code"]),
    "no document": ("pydocs", {}, 422, ["exactly one of", "got none of them"]),
    "payload that is no object": ("pydocs", {"text": "x", "payload": [1]}, 422, ["payload", "JSON object, got a list"]),
    "payload without bottom": ("pydocs", {"text": "x", "payload": DEEP}, 422, ["payload", "not nested that deeply"]),
    "image in another colour space": ("digits", {"image": _tiff("LAB")}, 422, ["8 or 16 bits a channel", "mode LAB"]),
    "image of floats": ("digits", {"image": _tiff("F")}, 422, ["8 or 16 bits a channel", "mode F"]),
    "unknown field": ("pydocs", {"text": "x", "txet": 1}, 422, ["txet", "expected nothing of this name"]),
}


@pytest.mark.parametrize("case", DOCUMENTS)
@pytest.mark.usefixtures("unchanged")
def test_a_bad_document_is_refused_wherever_it_comes(client: httpx.Client, case: str) -> None:
    collection, document, status, told = DOCUMENTS[case]
    path = f"/v1/collections/{collection}"
    items = [{"id": "good", **GOOD.get(collection, {"code": "0000"})}, {"id": "bad", **document}]
    reply = client.post(f"{path}/index", json={"items": items})
    _check(reply, status, *told)
    assert reply.json()["errors"][0]["where"].startswith("items/1")
    lines = json.dumps(items[1])
    _check(client.post(f"{path}/index", content=lines, headers=NDJSON), status, "line 1", *told)
    if "payload" not in document:
        _check(client.post(f"{path}/search", json={"query": document}), status, *told)
    if collection != "own" and not {"code", "payload"} & document.keys():
        _check(client.post("/v1/encode", json={"hasher": collection, "inputs": [document]}), status, *told)


@pytest.mark.usefixtures("unchanged")
def test_a_bad_line_does_not_keep_the_others_out_but_bad_lines_alone_are_an_error(client: httpx.Client) -> None:
    for line, told in (
        ("[1]", "expected a JSON object, got a list"),
        ("5", "expected a JSON object, got a number"),
        ("null", "expected a JSON object, got null"),
        ('{"id": "a", "text": "x"', "expected JSON"),
        ('{"id": "a"}', "expected exactly one of"),
        ('{"text": "a"}', "id: expected a value, got none"),
    ):
        reply = client.post("/v1/collections/pydocs/index", content=line, headers=NDJSON)
        assert 400 <= reply.status_code < 500
        _check(reply, reply.status_code, "nothing was indexed: line 1", told)


BODIES = {
    "NaN": (b'{"items": [{"id": "a", "vector": [NaN]}]}', 400, ["expected JSON", "NaN and Infinity are not JSON"]),
    "broken": (b'{"items": [', 400, ["expected JSON", "line 1 column 12"]),
    "nothing": (b"", 400, ["expected JSON, got nothing"]),
    "not UTF-8": (b'{"items": [{"id": "\xff", "code": "00"}]}', 400, ["expected JSON"]),
    "lone surrogate": (b'{"items": [{"id": "\\ud800", "code": "00"}]}', 400, ["expected JSON"]),
    "a list": (b"[]", 422, ["got []"]),
    "a list without bottom": (b"[" * 1000 + b"]" * 1000, 422, ["got [[[...]]]"]),
    "UTF-16": ('{"items": []}'.encode("utf-16"), 400, ["expected JSON", "(UTF-16 is not JSON, UTF-8 is)"]),
    "gzip": (b"\x1f\x8b\x08", 400, ["expected JSON", "(gzip needs its Content-Encoding)"]),
    "zstd": (b"\x28\xb5\x2f\xfd\x00", 400, ["expected JSON", "(zstd needs its Content-Encoding)"]),
    "multipart": (b"--x\r\n", 400, ["expected JSON", "(multipart is taken to index images", "with its Content-Type)"]),
    "no items": (b"{}", 422, ["items: expected a value, got none"]),
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.usefixtures("unchanged")
def test_a_bad_body_is_refused(client: httpx.Client, case: str) -> None:
    body, status, told = BODIES[case]
    _check(client.post("/v1/collections/vectors/index", content=body), status, *told)


def test_a_byte_order_mark_is_passed_over(client: httpx.Client) -> None:
    """As Windows puts it before a text: before a body, and before the first line of each file of several."""
    path, mark = "/v1/collections/own", b"\xef\xbb\xbf"
    line = b'{"id": "marked-%d", "code": "00ff"}\n'
    assert client.post(f"{path}/index", content=mark + b'{"items": [' + line % 0 + b"]}").json() == {"indexed": 1}
    for lines in (mark + line % 1 + line % 2, line % 3 + mark + line % 4):
        reply = client.post(f"{path}/index", content=lines, headers=NDJSON)
        assert reply.json() == {"indexed": 2, "rejected": []}
    # Alone it is nothing, and within a text it is a character.
    _check(client.post(f"{path}/index", content=mark), 400, "expected JSON, got nothing")
    reply = client.post(f"{path}/index", content=line % 5 + b"  " + mark + line % 6, headers=NDJSON)
    assert [each["line"] for each in reply.json()["rejected"]] == [2]
    client.post(f"{path}/delete", json={"ids": [f"marked-{n}" for n in range(7)]}).raise_for_status()


@pytest.mark.usefixtures("unchanged")
def test_bad_ids_are_refused_and_not_echoed(client: httpx.Client) -> None:
    path = "/v1/collections/pydocs"
    for item_id, told in (
        ("x" * 100_000, "got 100000"),
        ("é" * 300, "got 600"),
        ("", "got 0"),
        (5, "got 5"),
        ("..", "neither . nor .."),
        ("a\nb", "no control characters"),
    ):
        reply = client.post(f"{path}/index", json={"items": [{"id": item_id, "text": "a"}]})
        _check(reply, 422, "items/0/id", told)
        reply = client.post(f"{path}/index", json={"id": item_id, "text": "a"}, headers=NDJSON)
        _check(reply, 422, "line 1: id: ", told)
    twice = [{"id": "a", "text": "x"}, {"id": "b", "text": "x"}, {"id": "a", "text": "y"}]
    reply = client.post(f"{path}/index", json={"items": twice})
    _check(reply, 422, "expected each id once in a request, got 'a' again")
    assert [fault["where"] for fault in reply.json()["errors"]] == ["items/2/id"]


@pytest.mark.usefixtures("unchanged")
def test_what_is_not_there_is_a_404_that_names_it(client: httpx.Client) -> None:
    item = {"items": [{"id": "a", "code": "0000"}]}
    for method, path, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/index", item),
        ("POST", "/search", {"query": {"code": "0000"}}),
        ("POST", "/delete", {"ids": ["a"]}),
        ("GET", "/items/a", None),
        ("DELETE", "/items/a", None),
    ):
        _check(client.request(method, f"/v1/collections/nope{path}", json=body), 404, "collection", "'nope'")
    _check(client.post("/v1/collections/nope/index", content=b"{}", headers=NDJSON), 404, "'nope'")
    _check(client.post("/v1/encode", json={"hasher": "nope", "inputs": []}), 404, "digits@1", "'nope'")
    _check(client.post("/v1/encode", json={"hasher": "digits@9", "inputs": []}), 404, "'digits@9'")
    _check(client.post("/v1/encode", json={"hasher": "../../etc", "inputs": []}), 404, "'../../etc'")
    _check(client.get("/v1/models/nope"), 404, "'nope'")
    _check(client.put("/v1/collections/new", json={"hasher": "nope"}), 404, "'nope'")
    for method in ("GET", "DELETE"):
        _check(client.request(method, "/v1/collections/own/items/nope"), 404, "'nope'")
    _check(client.post("/v1/collections/own/search", json={"query": {"id": "nope"}}), 404, "'nope'")
    _check(client.get("/nope"), 404, "GET /nope")
    _check(client.get("/v1/encode"), 405, "GET /v1/encode")


@pytest.mark.usefixtures("unchanged")
def test_bad_settings_of_a_collection_are_refused(client: httpx.Client) -> None:
    for body, told in (
        ({}, "expected either a hasher or bits"),
        ({"hasher": "digits", "bits": 64}, "expected either a hasher or bits"),
        ({"bits": 12}, "multiple of 8"),
        ({"bits": 0}, "multiple of 8"),
        ({"bits": 2**40}, "multiple of 8"),
        ({"bits": "64"}, "got '64'"),
    ):
        _check(client.put("/v1/collections/new", json=body), 422, told)
    for name in ("UPPER", "a.b", "x" * 65, "%20"):
        _check(client.put(f"/v1/collections/{name}", json={"bits": 8}), 422, "expected small letters")
    _check(client.put("/v1/collections/own", json={"bits": 64}), 409, "16 bits, no hasher")
    _check(client.put("/v1/collections/own", json={"hasher": "digits"}), 409, "16 bits, no hasher")
    _check(client.put("/v1/collections/digits", json={"hasher": "pydocs"}), 409, "hasher digits@1")


@pytest.mark.usefixtures("unchanged")
def test_bad_searches_are_refused(client: httpx.Client) -> None:
    for body, told in (
        ({}, "expected either query or queries"),
        ({"query": {"code": "0000"}, "limit": 0}, "limit: expected at least 1, got 0"),
        ({"query": {"code": "0000"}, "limit": 10_001}, "limit: expected at most 10000, got 10001"),
        ({"query": {"code": "0000"}, "limit": 2.5}, "limit"),
        ({"query": {"code": "0000"}, "limit": True}, "limit"),
        ({"query": {"code": "0000"}, "max_distance": -1}, "max_distance"),
        ({"query": {"code": "0000"}, "max_distnce": 1}, "max_distnce"),
        ({"query": {"code": "0000", "id": "a"}}, "got code and id"),
    ):
        _check(client.post("/v1/collections/own/search", json=body), 422, told)
    many = [{"code": "0000"}] * 1001
    _check(client.post("/v1/collections/own/search", json={"queries": many}), 413, "at most 1000 queries", "got 1001")


def test_too_much_at_once_is_refused(hashers: Path, tmp_path: Path) -> None:
    small = Settings(
        hashers=hashers, data=tmp_path, max_body_bytes=1000, max_line_bytes=100, max_items=2, max_rejected=3
    )
    with running(small) as client:
        client.put("/v1/collections/own", json={"bits": 8})
        path = "/v1/collections/own/index"
        item = {"id": "a", "code": "00"}
        _check(client.post(path, content=b"x" * 1001), 413, "at most 1000 bytes, got 1001")
        chunks = (b"x" * 100 for _ in range(20))
        _check(client.post(path, content=chunks), 413, "at most 1000 bytes, got more")
        items = [{**item, "id": str(n)} for n in range(3)]
        _check(client.post(path, json={"items": items}), 413, "at most 2 items in one request, got 3")
        line = json.dumps(item)
        reply = client.post(path, content=f"{' ' * 2000}{line}\n{line}\n", headers=NDJSON)
        assert reply.json()["indexed"] == 1
        assert reply.json()["rejected"][0]["detail"] == f"expected a line of at most 100 bytes, got {2000 + len(line)}"
        reply = client.post(path, content=f"{line}\n" + "[]\n" * 9, headers=NDJSON)
        _check(reply, 422, "stopped at 3 bad lines, with 1 items indexed")
        assert reply.json()["indexed"] == 1


def test_a_body_of_nothing_but_faults_is_refused_at_once(client: httpx.Client) -> None:
    """One fault a number or an item, spelled out, would take gigabytes and hold up every other request."""
    path = "/v1/collections/vectors/index"
    # Of the processor, as other processes may take it meanwhile; the service is a thread of this one.
    started = time.process_time()
    _check(client.post(path, content=b'{"items": [' + b"1," * 4_000_000 + b"1]}"), 413, "got 4000001")
    nulls = b'{"items": [{"id": "a", "vector": [' + b"null," * 2_000_000 + b"null]}]}"
    _check(client.post(path, content=nulls), 413, "expected at most 131072 values in one of items")
    nulls = b'{"items": [{"id": "a", "vector": [' + b"null," * 100_000 + b"null]}]}"
    _check(client.post(path, content=nulls), 422, "items/0/vector/0", "got null")
    assert time.process_time() - started < 5


def test_a_renamed_hasher_is_not_served_for_another(hashers: Path, tmp_path: Path) -> None:
    shutil.copytree(hashers / "digits@1", tmp_path / "other@1")
    (tmp_path / "deep@1").mkdir()
    (tmp_path / "deep@1" / CARD).write_text("[" * 100_000)
    shutil.copytree(hashers / "vectors@1", tmp_path / "vectors@1")
    with running(Settings(hashers=tmp_path, data=tmp_path / "data")) as client:
        _check(client.put("/v1/collections/c", json={"hasher": "other"}), 503, "other@1", "got digits@1")
        served = {entry["reference"]: entry["served"] for entry in client.get("/v1/models").json()["models"]}
        assert served == {"deep@1": False, "other@1": False, "vectors@1": True}


def test_an_image_of_too_many_pixels_is_refused_unseen(client: httpx.Client) -> None:
    png = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(png, "PNG")
    reply = client.post("/v1/encode", json={"hasher": "digits", "inputs": [{"image": _base64(png.getvalue())}]})
    _check(reply, 413, "expected an image of at most 50000000 pixels, got 10000 x 10000")


def test_a_hasher_with_a_flipped_byte_is_not_served_and_the_rest_is(hashers: Path, tmp_path: Path) -> None:
    for name in ("digits@1", "vectors@1"):
        (tmp_path / name).mkdir()
        for file in (hashers / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    for name in (ENCODER, CARD):
        damaged = tmp_path / "digits@1" / name
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
        with running(Settings(hashers=tmp_path, data=tmp_path / "data")) as client:
            body = {"hasher": "digits", "inputs": [{"image": _base64(_png())}]}
            _check(client.post("/v1/encode", json=body), 503, name, "digits@1")
            _check(client.put("/v1/collections/new", json={"hasher": "digits"}), 503, name)
            listed = {entry["reference"]: entry for entry in client.get("/v1/models").json()["models"]}
            assert not listed["digits@1"]["served"]
            assert name in listed["digits@1"]["detail"]
            assert listed["vectors@1"]["served"]
            body = {"hasher": "vectors", "inputs": [{"vector": VECTOR}]}
            assert client.post("/v1/encode", json=body).status_code == 200
        damaged.write_bytes(whole)

import base64
import io
import json
import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from PIL import Image

from service.settings import Settings
from tests.serving import running


def _png(seed: int) -> bytes:
    png = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(png, "PNG")
    return png.getvalue()


def _index(client: httpx.Client, *parts: tuple[str, object], collection: str = "c") -> httpx.Response:
    return client.post(f"/v1/collections/{collection}/index", files=list(parts))  # type: ignore[arg-type]


def _search(client: httpx.Client, *parts: tuple[str, object]) -> httpx.Response:
    return client.post("/v1/collections/c/search", files=list(parts))  # type: ignore[arg-type]


def _body(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


X = {"Content-Type": "multipart/form-data; boundary=x"}
NAMED = b'Content-Disposition: form-data; name="a"\r\n\r\n'


@pytest.fixture(scope="module", autouse=True)
def collections(client: httpx.Client) -> None:
    for name in ("c", "other"):
        assert client.put(f"/v1/collections/{name}", json={"hasher": "digits"}).status_code == 201


def _item(client: httpx.Client, item_id: str, collection: str = "c") -> dict[str, object]:
    found: dict[str, object] = client.get(f"/v1/collections/{collection}/items/{quote(item_id, safe='')}").json()
    return found


def test_images_as_parts_are_those_in_base64(client: httpx.Client) -> None:
    ids = ["a", "é/😀", 'say "hi"', "back\\slash", "image", "request", "50%"]
    payloads = {"a": {"n": 1}, "é/😀": {}, "image": {"deep": [None]}}
    files = [(item_id, (f"{place}.png", _png(place), "image/png")) for place, item_id in enumerate(ids)]
    reply = _index(client, *files, ("payloads", (None, json.dumps(payloads))))
    assert reply.json() == {"indexed": len(ids)}
    for place, item_id in enumerate(ids):
        item = {"id": item_id, "image": base64.b64encode(_png(place)).decode(), "payload": payloads.get(item_id, {})}
        assert client.post("/v1/collections/other/index", json={"items": [item]}).json() == {"indexed": 1}
        assert _item(client, item_id) == _item(client, item_id, "other")
        assert _item(client, item_id)["payload"] == payloads.get(item_id, {})


def test_a_search_by_an_image_as_a_part_is_that_by_base64(client: httpx.Client) -> None:
    for seed in range(20, 30):
        assert _index(client, (f"s{seed}", _png(seed))).is_success
    wanted = {"limit": 3, "rank": "asymmetric"}
    given = _search(client, ("image", _png(25)), ("request", (None, json.dumps(wanted)))).json()
    query = {"image": base64.b64encode(_png(25)).decode()}
    assert given == client.post("/v1/collections/c/search", json={"query": query, **wanted}).json()
    assert (given["results"][0]["id"], given["results"][0]["distance"], len(given["results"])) == ("s25", 0, 3)
    assert len(_search(client, ("image", _png(25))).json()["results"]) == 10


def test_curl_uploads_as_users_write_it(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "shoe.png").write_bytes(_png(50))
    (tmp_path / "payloads.json").write_text('{"curled": {"price": 30}}')
    url = f"{client.base_url}/v1/collections/c"
    command = ["curl", "-sS", f"{url}/index", "-F", "curled=@shoe.png", "-F", "payloads=<payloads.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30)
    assert json.loads(done.stdout) == {"indexed": 1}
    assert _item(client, "curled")["payload"] == {"price": 30}
    command = ["curl", "-sS", f"{url}/search", "-F", "image=@shoe.png", "-F", 'request={"max_distance": 0}']
    found = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30).stdout)
    assert [match["id"] for match in found["results"]] == ["curled"]


def test_it_is_all_or_nothing_and_faults_have_places(client: httpx.Client) -> None:
    reply = _index(client, ("good", _png(1)), ("bad", b"no image"), ("", _png(2)), ("bad2", b""))
    assert reply.status_code == 422
    assert [fault["where"] for fault in reply.json()["errors"]] == ["parts/"]
    reply = _index(client, ("good", _png(1)), ("bad", b"no image"), ("bad2", b""), ("good", _png(3)))
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("nothing was indexed: parts/good: expected each id once")
    assert [fault["where"] for fault in reply.json()["errors"]] == ["parts/good", "parts/bad", "parts/bad2"]
    assert client.get("/v1/collections/c/items/good").status_code == 404


@pytest.mark.parametrize(
    ("payloads", "status", "detail"),
    [
        ('{"b": {}}', 422, "nothing was indexed: payloads: expected payloads of images that are parts of the body"),
        ('{"a": 1}', 422, "payloads/a: expected a JSON object, got a number"),
        ("[]", 422, "payloads: expected a JSON object, got a list"),
        ("{", 400, "payloads: expected JSON: "),
        ("", 400, "payloads: expected JSON, got nothing"),
    ],
)
def test_payloads_that_cannot_be_used(client: httpx.Client, payloads: str, status: int, detail: str) -> None:
    reply = _index(client, ("a", _png(0)), ("payloads", (None, payloads)))
    assert (reply.status_code, reply.json()["detail"][: len(detail)]) == (status, detail)


@pytest.mark.parametrize(
    ("parts", "detail"),
    [
        ([("request", (None, "{}"))], "image: expected one part of this name, got 0"),
        ([("image", b""), ("image", b"")], "image: expected one part of this name, got 2"),
        ([("image", b""), ("limit", (None, "3"))], "body: expected parts image and request, got 'limit'"),
        (
            [("image", b""), ("request", (None, '{"query": {"id": "a"}}'))],
            "request/query: expected the image as the query, got both",
        ),
        (
            [("image", b""), ("request", (None, '{"limit": 0}'))],
            "request/limit: expected at least 1, got 0",
        ),
        ([("image", b""), ("request", (None, '{"limit": 10001}'))], "request/limit: expected at most 10000, got 10001"),
        ([("image", b""), ("request", (None, '{"filter": {"a": {"x": 1}}}'))], "request/filter/a"),
        ([("image", b"no image")], "nothing was searched: image: expected"),
    ],
)
def test_searches_that_cannot_be_used(client: httpx.Client, parts: list[tuple[str, object]], detail: str) -> None:
    reply = _search(client, *parts)
    assert (reply.status_code, reply.json()["detail"][: len(detail)]) == (422, detail)


def test_the_rest_of_a_search_that_is_no_json_is_told_by_its_part(client: httpx.Client) -> None:
    reply = _search(client, ("image", _png(1)), ("request", (None, "{")))
    assert (reply.status_code, reply.json()["title"]) == (400, "Invalid JSON")
    assert [fault["where"] for fault in reply.json()["errors"]] == ["request"]
    # Only what it keeps can be ranked by: known when all was understood.
    reply = _search(client, ("image", _png(1)), ("request", (None, '{"rank": "rescored"}')))
    assert [fault["where"] for fault in reply.json()["errors"]] == ["request/rank"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "expected multipart/form-data up to its last boundary, got nothing"),
        (_body(NAMED + b"abc", end=b""), "expected multipart/form-data up to its last boundary, got 54 bytes"),
        (_body(NAMED + b"abc", end=b"--x"), "expected multipart/form-data up to its last boundary, got"),
        (b"hello", "expected multipart/form-data: "),
        (_body(b"Content-Type: image/png\r\n\r\nabc"), "part 1: expected a Content-Disposition with a name, got none"),
        (_body(NAMED.replace(b'"a"', b'"\xff"')), "part 1: expected a name in UTF-8, got "),
        (_body(b"a: b\r\n" * 9 + NAMED), "expected multipart/form-data: Maximum header count"),
        (_body(b"a: " + b"b" * 5000 + b"\r\n" + NAMED), "expected multipart/form-data: Maximum header size"),
    ],
)
def test_what_is_no_multipart_is_a_problem_detail(client: httpx.Client, body: bytes, detail: str) -> None:
    reply = client.post("/v1/collections/c/index", content=body, headers=X)
    assert (reply.status_code, reply.json()["title"]) == (400, "Invalid multipart")
    assert reply.json()["detail"][: len(detail)] == detail


def test_a_content_type_without_a_boundary_or_with_a_very_long_one(client: httpx.Client) -> None:
    for options in ("", "; boundary=", f"; boundary={'x' * 300}"):
        headers = {"Content-Type": f"multipart/form-data{options}"}
        for path in ("index", "search"):
            reply = client.post(f"/v1/collections/c/{path}", content=b"", headers=headers)
            assert (reply.status_code, reply.json()["title"]) == (400, "Invalid multipart")


def test_parts_and_bytes_are_bounded_and_no_file_is_left(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What writes temporary files fails.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    small = settings.model_copy(update={"data": tmp_path / "data", "max_items": 3, "max_body_bytes": 3 * 2**20})
    with running(small) as client:
        assert client.put("/v1/collections/c", json={"hasher": "digits"}).is_success
        images = [(str(seed), _png(seed)) for seed in range(5)]
        payloads = ("payloads", (None, "{}"))
        assert _index(client, *images[:3], payloads).json() == {"indexed": 3}
        for parts, detail in (
            (images[:4], "expected at most 3 items in one request, got 4"),
            ([*images[:4], payloads], "expected at most 4 parts, got more"),
            ([("big", os.urandom(3 * 2**20))], "expected a body of at most 3145728 bytes, got 3145"),
        ):
            reply = _index(client, *parts)
            assert (reply.status_code, reply.json()["detail"][: len(detail)]) == (413, detail)
        # More than a megabyte: what would be spooled.
        large = _png(9) + bytes(2 * 2**20)
        assert _index(client, ("large", large)).json() == {"indexed": 1}
        assert client.get("/v1/collections/c").json()["count"] == 4

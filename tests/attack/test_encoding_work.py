"""Documents that take long to encode: for clients that have left, for one client beside others, beyond the budget."""

import base64
import gzip
import io
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.features.pixels import PixelFeatures
from service.process import framing
from service.settings import Settings
from tests.recoding.made import add_version
from tests.serving import Process, client_of, running

LONG = 20.0
THREADS = 2
TICKS = os.sysconf("SC_CLK_TCK")


def png(side: int, mode: str = "1") -> bytes:
    content = io.BytesIO()
    Image.new(mode, (side, side)).save(content, "PNG")
    return content.getvalue()


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


SMALL = png(8, "L")


@contextmanager
def half_asked(
    url: httpx.URL, path: str, body: bytes, headers: dict[str, str] | None = None
) -> Iterator[socket.socket]:
    """A request that was sent whole, and whose reply nobody has read yet."""
    told = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told.items()) + "\r\n"
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(head.encode() + body)
        yield connection


class Counted:
    """Counts the pictures that are begun, each of which takes a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.05) -> None:
        self.begun = 0
        row, image = PixelFeatures.row, PixelFeatures.png

        def slow_row(features: PixelFeatures, document: object, query: bool = False) -> np.ndarray:
            self.begun += 1
            time.sleep(seconds)
            return row(features, document, query)

        def slow_png(features: PixelFeatures, document: np.ndarray) -> bytes:
            self.begun += 1
            time.sleep(seconds)
            return image(features, document)

        monkeypatch.setattr(PixelFeatures, "row", slow_row)
        monkeypatch.setattr(PixelFeatures, "png", slow_png)

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + LONG
        while self.begun < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def wait_for_rest(self) -> None:
        """Until none is begun for a while."""
        deadline = time.monotonic() + LONG
        before = -1
        while before != self.begun:
            assert time.monotonic() < deadline
            before = self.begun
            time.sleep(0.4)


@pytest.fixture(scope="module")
def settings(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(hashers=hashers, data=tmp_path_factory.mktemp("data"), threads=THREADS)


@pytest.fixture(scope="module", autouse=True)
def collection(client: httpx.Client) -> None:
    wanted = {"hasher": "digits", "keep_documents": True}
    assert client.put("/v1/collections/digits", json=wanted).status_code == 201


PICTURE = {"image": text_of(SMALL)}
MANY = 200
NDJSON = {"Content-Type": "application/x-ndjson"}
INDEX = "/v1/collections/digits/index"


def _items() -> list[dict[str, Any]]:
    return [{"id": f"left-{n}", **PICTURE} for n in range(MANY)]


def _multipart() -> bytes:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="left-{n}"\r\n\r\n'.encode() + SMALL + b"\r\n"
        for n in range(MANY)
    ]
    return b"".join(parts) + b"--x--\r\n"


LEFT: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "encode": ("/v1/encode", json.dumps({"hasher": "digits", "inputs": [PICTURE] * MANY}).encode(), {}),
    "encode, compressed": (
        "/v1/encode",
        gzip.compress(json.dumps({"hasher": "digits", "inputs": [PICTURE] * MANY}).encode()),
        {"Content-Encoding": "gzip"},
    ),
    "index": (INDEX, json.dumps({"items": _items()}).encode(), {}),
    "index, kept": (
        INDEX,
        json.dumps(
            {"items": [{"id": f"left-{n}", "code": "00" * 8, "document": PICTURE} for n in range(MANY)]}
        ).encode(),
        {},
    ),
    "index, multipart": (INDEX, _multipart(), {"Content-Type": "multipart/form-data; boundary=x"}),
    "index, lines": (INDEX, "\n".join(map(json.dumps, _items())).encode(), NDJSON),
    "search": ("/v1/collections/digits/search", json.dumps({"queries": [PICTURE] * MANY}).encode(), {}),
    "decode": ("/v1/decode", json.dumps({"hasher": "digits", "codes": ["00" * 8] * MANY}).encode(), {}),
}


@pytest.mark.parametrize("name", LEFT)
def test_nothing_is_encoded_for_a_client_that_has_left(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Else a client that has left is taken for one that sends no more.
    monkeypatch.setattr(framing, "HALF_CLOSED_SECONDS", 0.0)
    counted = Counted(monkeypatch)
    path, body, headers = LEFT[name]
    with half_asked(client.base_url, path, body, headers):
        counted.wait_for(3)
    left = counted.begun
    counted.wait_for_rest()
    # What its thread was at, and what it begins before the event loop is told.
    assert counted.begun <= left + 2
    items = client.get("/v1/collections/digits/items").json()["items"]
    assert items == []


def test_the_last_part_of_an_import_that_was_left_is_not_encoded_although_more_came(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body goes on while its beginning is encoded: what is read ahead is bounded, and kept."""
    counted = Counted(monkeypatch, 0.02)
    lines = [json.dumps({"id": f"more-{n}", **PICTURE}) for n in range(1500)]
    body = "\n".join(lines).encode()
    with half_asked(client.base_url, INDEX, body[: len(body) - 10], {**NDJSON, "Content-Length": str(len(body))}):
        counted.wait_for(5)
    left = counted.begun
    counted.wait_for_rest()
    assert counted.begun <= left + 2
    # None of it is lost where the client stays.
    monkeypatch.undo()
    reply = client.post(INDEX, content=body, headers=NDJSON)
    assert reply.json() == {"indexed": 1500, "rejected": []}
    ids = [f"more-{n}" for n in range(1500)]
    assert client.post("/v1/collections/digits/delete", json={"ids": ids}).json() == {"deleted": 1500}


def test_nor_for_one_whose_time_ran_out(hashers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    with running(Settings(hashers=hashers, data=tmp_path / "data", threads=1, max_seconds=0.5)) as client:
        assert client.put("/v1/collections/digits", json={"hasher": "digits"}).status_code == 201
        for path, body in (
            ("/v1/encode", {"hasher": "digits", "inputs": [PICTURE] * MANY}),
            (INDEX, {"items": _items()}),
            ("/v1/collections/digits/search", {"queries": [PICTURE] * MANY}),
        ):
            reply = client.post(path, json=body)
            assert reply.status_code == 504, reply.text
            told = counted.begun
            counted.wait_for_rest()
            assert counted.begun <= told + 2
        assert client.get("/v1/collections/digits").json()["count"] == 0


def test_an_index_request_whose_client_left_is_there_whole_or_not_at_all(client: httpx.Client) -> None:
    bodies = [
        json.dumps({"items": [{"id": f"{turn}-{n}", **PICTURE} for n in range(50)]}).encode() for turn in range(30)
    ]
    for turn, body in enumerate(bodies):
        with half_asked(client.base_url, INDEX, body):
            time.sleep(turn * 0.002)
    time.sleep(0.5)
    found: dict[str, int] = {}
    cursor: str | None = None
    while True:
        page = client.get(
            "/v1/collections/digits/items", params={"limit": 1000} | ({"cursor": cursor} if cursor else {})
        )
        for item in page.json()["items"]:
            turn = item["id"].partition("-")[0]
            found[turn] = found.get(turn, 0) + 1
        if (cursor := page.json().get("next")) is None:
            break
    assert set(found.values()) <= {50}
    ids = [f"{turn}-{n}" for turn in range(30) for n in range(50)]
    client.post("/v1/collections/digits/delete", json={"ids": ids})


def test_searches_are_answered_while_every_thread_for_documents_is_taken(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.post(INDEX, json={"items": [{"id": "a", **PICTURE}]}).json() == {"indexed": 1}
    counted = Counted(monkeypatch)
    body = json.dumps({"hasher": "digits", "inputs": [PICTURE] * MANY}).encode()
    stop = [half_asked(client.base_url, "/v1/encode", body) for _ in range(8)]
    for each in stop:
        each.__enter__()
    try:
        counted.wait_for(3)
        for query in ({"id": "a"}, {"code": "00" * 8}):
            started = time.monotonic()
            reply = client.post("/v1/collections/digits/search", json={"query": query})
            assert reply.status_code == 200, reply.text
            # All that is encoded takes 80 s.
            assert time.monotonic() - started < 2
        assert client.get("/livez").status_code == 200
    finally:
        for each in stop:
            each.__exit__(None, None, None)
    counted.wait_for_rest()
    # The threads are free again.
    started = time.monotonic()
    assert client.post("/v1/collections/digits/search", json={"query": PICTURE}).json()["results"][0]["id"] == "a"
    assert time.monotonic() - started < 2
    client.delete("/v1/collections/digits/items/a")


def test_another_client_is_served_beside_one_that_asks_for_much(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    body = json.dumps({"hasher": "digits", "inputs": [PICTURE] * MANY}).encode()
    stop = [half_asked(client.base_url, "/v1/encode", body) for _ in range(8)]
    for each in stop:
        each.__enter__()
    try:
        counted.wait_for(3)
        # Another address of this machine is another client.
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with client_of(client.base_url, transport=transport, timeout=LONG) as other:
            started = time.monotonic()
            reply = other.post("/v1/encode", json={"hasher": "digits", "inputs": [PICTURE]})
            assert reply.status_code == 200
            assert time.monotonic() - started < 2
    finally:
        for each in stop:
            each.__exit__(None, None, None)
    counted.wait_for_rest()


@pytest.fixture(scope="module")
def bounded(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data = tmp_path_factory.mktemp("bounded") / "data"
    settings = Settings(hashers=hashers, data=data, max_request_pixels=640, max_request_characters=1000)
    with running(settings) as client:
        for name in ("digits", "pydocs"):
            wanted = {"hasher": name, "keep_documents": True}
            assert client.put(f"/v1/collections/{name}", json=wanted).status_code == 201
        yield client


@pytest.mark.parametrize(
    ("hasher", "document", "fit", "message"),
    [
        ("digits", PICTURE, 10, "expected at most 640 pixels in all images of a request, got 704"),
        ("pydocs", {"text": "word " * 20}, 10, "expected at most 1000 characters in all texts of a request, got 1100"),
    ],
)
def test_what_a_request_may_have_encoded_is_bounded_before_anything_is(
    bounded: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    hasher: str,
    document: dict[str, str],
    fit: int,
    message: str,
) -> None:
    counted = Counted(monkeypatch, 0)
    for count in (fit, fit + 1):
        documents = [document] * count
        items = [{"id": str(n), **document} for n in range(count)]
        kept = [{"id": str(n), "code": "00" * 8, "document": document} for n in range(count)]
        for path, body in (
            ("/v1/encode", {"hasher": hasher, "inputs": documents}),
            (f"/v1/collections/{hasher}/search", {"queries": documents}),
            (f"/v1/collections/{hasher}/index", {"items": items}),
            (f"/v1/collections/{hasher}/index", {"items": kept}),
        ):
            before = counted.begun
            reply = bounded.post(path, json=body)
            if count == fit:
                assert reply.status_code == 200, reply.text
            else:
                assert reply.status_code == 413, reply.text
                assert reply.json()["title"] == "Too large" and message in reply.json()["detail"]
                assert counted.begun == before
    parts = [(str(n), (str(n), SMALL)) for n in range(fit + 1)]
    if hasher == "digits":
        reply = bounded.post("/v1/collections/digits/index", files=parts)
        assert reply.status_code == 413 and message in reply.json()["detail"]


def test_lines_beyond_the_budget_are_written_in_parts(bounded: httpx.Client) -> None:
    lines = [json.dumps({"id": f"{n % 30:02d}", **PICTURE, "payload": {"turn": n // 30}}) for n in range(60)]
    lines[7] = json.dumps({"id": "bad", "image": text_of(SMALL[:-20])})
    lines[44] = json.dumps({"id": "bad", "image": text_of(b"none")})
    reply = bounded.post("/v1/collections/digits/index", content="\n".join(lines), headers=NDJSON).json()
    assert reply["indexed"] == 58
    assert [each["line"] for each in reply["rejected"]] == [8, 45]
    items = bounded.get("/v1/collections/digits/items", params={"limit": 100}).json()["items"]
    # Of several lines with one id the last counts, whatever part it is in.
    turns = {item["id"]: item["payload"]["turn"] for item in items if item.get("payload")}
    assert turns == {f"{n:02d}": 0 if n == 14 else 1 for n in range(30)}


def test_ten_thousand_small_pictures_and_texts_are_within_the_budget(client: httpx.Client) -> None:
    settings = Settings()
    assert settings.max_request_pixels >= 10_000 * 256 * 256
    assert settings.max_request_characters >= 10_000 * 1000
    picture = {"image": text_of(png(256, "L"))}
    reply = client.post("/v1/encode", json={"hasher": "digits", "inputs": [picture] * 1000})
    assert reply.status_code == 200 and len(reply.json()["codes"]) == 1000


def test_a_recoding_that_is_cancelled_ends_before_its_next_document(
    hashers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "hashers"
    served.mkdir()
    (served / "digits@1").symlink_to(hashers / "digits@1")
    add_version(served, "digits@1", 2)
    with running(Settings(hashers=served, data=tmp_path / "data")) as client:
        wanted = {"hasher": "digits@1", "keep_documents": True}
        assert client.put("/v1/collections/digits", json=wanted).status_code == 201
        assert client.post(INDEX, json={"items": _items()}).json() == {"indexed": MANY}
        counted = Counted(monkeypatch)
        job = client.post("/v1/collections/digits/recode", json={"hasher": "digits@2"}).json()["id"]
        counted.wait_for(5)
        assert client.post(f"/v1/jobs/{job}/cancel").status_code == 200
        ended = counted.begun
        counted.wait_for_rest()
        # It looks four times a second.
        assert counted.begun <= ended + 12
        deadline = time.monotonic() + LONG
        while client.get(f"/v1/jobs/{job}").json()["state"] != "cancelled":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.get("/v1/collections/digits/recode").status_code == 404
        assert client.get("/v1/collections/digits").json()["hasher"] == "digits@1"


def jpeg_of_many_scans(scans: int) -> bytes:
    """A progressive JPEG of 1600 x 1600 black pixels with one scan again and again: 16 bytes each."""
    content = io.BytesIO()
    Image.new("L", (1600, 1600)).save(content, "JPEG", progressive=True)
    whole = content.getvalue()
    begin = whole.rindex(b"\xff\xda")
    last = whole[begin : whole.rindex(b"\xff\xd9")]
    return whole[:begin] + last * scans + b"\xff\xd9"


def rle_bmp(side: int) -> bytes:
    """A BMP whose rows are runs of one pixel, which Pillow decodes in Python."""
    rows = (b"\x01\x00" * side + b"\x00\x00") * side + b"\x00\x01"
    palette = bytes(4 * 256)
    head = struct.pack("<2sIHHI", b"BM", 54 + len(palette) + len(rows), 0, 0, 54 + len(palette))
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return head + info + palette + rows


@pytest.mark.parametrize(
    ("name", "make"),
    [("scans", lambda: jpeg_of_many_scans(2000)), ("runs", lambda: rle_bmp(2000))],
)
def test_pictures_count_for_the_work_that_they_take(client: httpx.Client, name: str, make: Callable[[], bytes]) -> None:
    started = time.monotonic()
    reply = client.post("/v1/encode", json={"hasher": "digits", "inputs": [{"image": text_of(make())}]})
    assert reply.status_code == 413 and "times by how it is encoded" in reply.json()["detail"], reply.text
    assert time.monotonic() - started < 5


def test_a_real_process_is_free_soon_after_its_clients_have_left(hashers: Path, tmp_path: Path) -> None:
    """As it was found: pictures of few bytes and many pixels, and clients that are gone."""
    picture = {"image": text_of(png(3500))}
    service = Process(hashers, tmp_path / "data", "--threads", str(THREADS))
    try:
        client = service.client
        assert client.put("/v1/collections/digits", json={"hasher": "digits"}).status_code == 201
        started = time.monotonic()
        one = client.post("/v1/encode", json={"hasher": "digits", "inputs": [picture]})
        alone = time.monotonic() - started
        assert one.status_code == 200
        body = json.dumps({"hasher": "digits", "inputs": [picture] * 80}).encode()
        compressed = gzip.compress(body)
        assert len(compressed) < 2**14
        stop = [
            half_asked(httpx.URL(service.url), "/v1/encode", compressed, {"Content-Encoding": "gzip"}) for _ in range(6)
        ]
        for each in stop:
            each.__enter__()
        searched: list[float] = []
        ended = threading.Event()

        def search() -> None:
            while not ended.is_set():
                begun = time.monotonic()
                reply = client.post("/v1/collections/digits/search", json={"query": {"code": "00" * 8}})
                assert reply.status_code == 200, reply.text
                searched.append(time.monotonic() - begun)

        searching = threading.Thread(target=search)
        searching.start()
        time.sleep(1.5)
        for each in stop:
            each.__exit__(None, None, None)
        started = time.monotonic()
        reply = client.post("/v1/collections/digits/search", json={"query": {"image": text_of(SMALL)}}, timeout=LONG)
        waited = time.monotonic() - started
        ended.set()
        searching.join()
        assert reply.status_code == 200
        # All of it would have taken 480 times as long as one.
        assert waited < 3 + 10 * alone
        assert sorted(searched)[len(searched) // 2] < 0.5
        time.sleep(0.5 + 2 * alone)
        before = cpu_seconds(service.pid)
        time.sleep(1)
        assert cpu_seconds(service.pid) - before < 0.3
    finally:
        service.kill()


def cpu_seconds(process: int) -> float:
    told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / TICKS

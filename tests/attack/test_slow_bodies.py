"""Bodies that never end: their lines are counted among what is held, and only lines that end give them time."""

import gzip
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from backports import zstd

from tests.attack.watching import watched_liveness, watched_memory
from tests.serving import Process

MEBIBYTE = 2**20
SECONDS = 1.5
LINE = 4 * MEBIBYTE
HELD = 32 * MEBIBYTE
CONNECTIONS = 60
# A line grows in a bytearray, which may take an eighth more; the rest is what so many connections and threads take.
ALLOWED = HELD + HELD // 8 + 40 * MEBIBYTE
GZIP = 16 + zlib.MAX_WBITS
PATH = "/v1/collections/c/index"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("slow")
    options = {
        "--max-seconds": SECONDS,
        "--max-line-bytes": LINE,
        "--max-held-bytes": HELD,
        "--max-inflation": 10**6,
        "--threads": 2,
    }
    process = Process(folder / "hashers", folder / "data", *(str(each) for pair in options.items() for each in pair))
    process.client.put("/v1/collections/c", json={"bits": 8}).raise_for_status()
    yield process
    process.stop()


def _connect(serving: Process, path: str, *headers: str) -> socket.socket:
    port = serving.client.base_url.port
    assert port is not None
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", *headers, "", ""]
    connection.sendall("\r\n".join(head).encode())
    return connection


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def _answer(connection: socket.socket) -> bytes:
    """What comes until the connection ends, or nothing more does."""
    came = bytearray()
    connection.settimeout(10 * SECONDS)
    try:
        while part := connection.recv(65536):
            came += part
    except (TimeoutError, ConnectionError):
        pass
    return bytes(came)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_lines_that_do_not_end_are_held_up_to_a_bound(serving: Process, encoding: str) -> None:
    content = b"{" + b" " * (LINE - 100_000)
    if encoding == "zstd":
        packed = zstd.compress(content)
    else:
        flushing = zlib.compressobj(9, zlib.DEFLATED, GZIP)
        packed = flushing.compress(content) + flushing.flush(zlib.Z_FULL_FLUSH)
    with ExitStack() as stack, watched_memory(serving.pid) as memory, watched_liveness(serving.url) as live:
        headers = ("Content-Type: application/x-ndjson", f"Content-Encoding: {encoding}")
        connections = [stack.enter_context(_connect(serving, PATH, *headers)) for _ in range(CONNECTIONS)]
        for connection in connections:
            connection.sendall(_chunk(packed))
        with ThreadPoolExecutor(CONNECTIONS) as readers:
            answers = list(readers.map(_answer, connections))
    statuses = [int(answer.split()[1]) for answer in answers]
    print(
        f"{encoding}: {len(packed)} bytes on {CONNECTIONS} connections, grown by {memory.grown // MEBIBYTE} MiB of "
        f"{ALLOWED // MEBIBYTE}, /livez at most {live.longest * 1000:.0f} ms, "
        f"{statuses.count(429)} refused, {statuses.count(504)} too late"
    )
    # Some are too much beside the others, the others do not go on.
    assert set(statuses) == {429, 504}
    assert all(b"retry-after: 1" in answer for answer in answers)
    assert memory.grown < ALLOWED
    assert live.longest < 1.5
    # Nothing of them is counted any more.
    assert serving.client.post("/v1/collections/c/search", content=b" " * (HELD // 2) + b"{").status_code == 400


DRIPPED = {
    "blanks": (lambda number: b" ", ()),
    "blank lines": (lambda number: b"\n \r\n", ()),
    "a line of blanks that goes on": (lambda number: b"\n{" if number == 0 else b" ", ()),
    "a line that is too long": (lambda number: b"a" * (LINE // 2), ()),
}


@pytest.mark.parametrize("name", DRIPPED)
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_what_ends_no_line_does_not_keep_an_import_going(serving: Process, name: str, encoding: str) -> None:
    piece, _ = DRIPPED[name]
    flushing = zlib.compressobj(9, zlib.DEFLATED, GZIP)
    headers = ("Content-Type: application/x-ndjson", f"Content-Encoding: {encoding}")
    started = time.monotonic()
    ended = threading.Event()
    with _connect(serving, PATH, *headers) as connection:

        def drip() -> None:
            number = 0
            while not ended.wait(SECONDS / 5):
                content = piece(number)
                if encoding == "gzip":
                    content = flushing.compress(content) + flushing.flush(zlib.Z_SYNC_FLUSH)
                elif encoding == "zstd":
                    content = zstd.compress(content)
                try:
                    connection.sendall(_chunk(content))
                except OSError:
                    return
                number += 1

        dripping = threading.Thread(target=drip)
        dripping.start()
        connection.settimeout(10 * SECONDS)
        answer = connection.recv(65536)
        took = time.monotonic() - started
        ended.set()
        dripping.join()
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"expected more of the body within 1.5 seconds, got no whole line but blank ones" in answer
    assert SECONDS * 0.9 < took < 5 * SECONDS


def test_lines_that_end_keep_an_import_going_for_as_long_as_they_come(serving: Process) -> None:
    def lines() -> Iterator[bytes]:
        for number in range(8):
            line = b'{"id":"slow %d","code":"00"}\n' % number
            yield line[:10]
            time.sleep(SECONDS / 6)
            yield line[10:] + b"\n"
            time.sleep(SECONDS / 6)

    started = time.monotonic()
    reply = serving.client.post(PATH, content=lines(), headers={"Content-Type": "application/x-ndjson"})
    assert reply.json() == {"indexed": 8, "rejected": []}
    assert time.monotonic() - started > SECONDS


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Type: application/json",),
        ("Content-Type: multipart/form-data; boundary=b",),
        ("Content-Encoding: gzip",),
    ],
)
def test_other_bodies_that_do_not_end_are_cut_off_too(serving: Process, headers: tuple[str, ...]) -> None:
    started = time.monotonic()
    compressed = gzip.compress(b" " * 1000)
    with _connect(serving, "/v1/collections/c/search", *headers) as connection:
        connection.settimeout(10 * SECONDS)
        for place in range(100):
            part = compressed[place % 4 : place % 4 + 1] if "gzip" in headers[0] else b" "
            if "gzip" in headers[0] and place >= 4:
                part = b"\0"
            try:
                connection.sendall(_chunk(part))
            except OSError:
                break
            time.sleep(SECONDS / 10)
            if time.monotonic() - started > 2 * SECONDS:
                break
        answer = connection.recv(65536)
    status = int(answer.split()[1])
    assert status in ((400, 504) if "gzip" in headers[0] else (504,))


def test_bad_lines_that_are_remembered_are_counted(tmp_path: Path) -> None:
    options = ["--max-held-bytes", str(4 * MEBIBYTE), "--max-seconds", "30"]
    process = Process(tmp_path / "hashers", tmp_path / "data", *options)
    try:
        process.client.put("/v1/collections/c", json={"bits": 8}).raise_for_status()
        with ExitStack() as stack:
            headers = "Content-Type: application/x-ndjson"
            connections = [stack.enter_context(_connect(process, PATH, headers)) for _ in range(8)]
            for connection in connections:
                connection.sendall(_chunk(b"{\n" * 4000))
            with ThreadPoolExecutor(8) as readers:
                answers = list(readers.map(_answer, connections))
            assert sum(answer.startswith(b"HTTP/1.1 429 ") for answer in answers) >= 5
    finally:
        process.kill()

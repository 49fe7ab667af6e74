"""Memory stays flat whatever is sent: bombs, and more than the writer keeps up with."""

import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from backports import zstd

from service.http.requests.inflating import GZIP
from service.settings import DATABASE
from tests.serving import Process

MEBIBYTE = 2**20
GIBIBYTE = 2**30
BODY_BYTES = 4 * MEBIBYTE
ALLOWED = 40 * MEBIBYTE
# What is on its way: in sockets of both sides, which the kernel lets grow, in the server's buffer and in a batch that
# waits to be written.
SOCKETS = sum(int(Path(f"/proc/sys/net/ipv4/tcp_{side}").read_text().split()[2]) for side in ("rmem", "wmem"))
ON_ITS_WAY = SOCKETS + 8 * MEBIBYTE
MEDIA = {"json": "application/json", "lines": "application/x-ndjson"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("serving")
    process = Process(folder / "hashers", folder / "data", "--max-body-bytes", str(BODY_BYTES))
    process.data = folder / "data"  # type: ignore[attr-defined]
    assert process.client.put("/v1/collections/c", json={"bits": 16}).status_code == 201
    yield process
    process.stop()


class Peak:
    """How much the memory of a process grew, at most, since the block began."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._sampling = threading.Thread(target=self._sample)
        self.before = self._resident()
        self.highest = self.before

    def __enter__(self) -> "Peak":
        self._sampling.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._sampling.join()

    @property
    def grown(self) -> int:
        return self.highest - self.before

    def _sample(self) -> None:
        while not self._ended.wait(0.005):
            self.highest = max(self.highest, self._resident())

    def _resident(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


def _gzip_bomb(content: bytes, repeats: int) -> Iterator[bytes]:
    """Gzip of a megabyte, again and again, without its end: a block that was flushed may be repeated."""
    compress = zlib.compressobj(9, zlib.DEFLATED, GZIP)
    yield compress.compress(b"") + compress.flush(zlib.Z_FULL_FLUSH)
    block = compress.compress(content * (MEBIBYTE // len(content))) + compress.flush(zlib.Z_FULL_FLUSH)
    for _ in range(repeats):
        yield block


def _zstd_bomb(content: bytes, repeats: int) -> Iterator[bytes]:
    frame = zstd.compress(content * (MEBIBYTE // len(content)), 19)
    for _ in range(repeats):
        yield frame


@pytest.mark.parametrize("content", [b"\0", b"\n"], ids=["zeros", "line ends"])
@pytest.mark.parametrize("media", sorted(MEDIA))
@pytest.mark.parametrize(("encoding", "bomb"), [("gzip", _gzip_bomb), ("zstd", _zstd_bomb)])
def test_a_bomb_of_ten_gibibytes_is_refused_at_its_beginning(
    serving: Process, encoding: str, bomb: object, media: str, content: bytes
) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        assert callable(bomb)
        for chunk in bomb(content, 10 * GIBIBYTE // MEBIBYTE):
            sent += 1
            yield chunk

    headers = {"Content-Type": MEDIA[media], "Content-Encoding": encoding}
    with Peak(serving.pid) as peak:
        reply = serving.client.post("/v1/collections/c/index", content=body(), headers=headers)
    assert (reply.status_code, reply.json()["title"]) == (413, "Too large")
    assert peak.grown < ALLOWED
    if media == "json":
        assert f"expected a body of at most {BODY_BYTES} bytes once inflated" in reply.json()["detail"]
    else:
        assert "expected a byte of a body to become at most 200 once inflated" in reply.json()["detail"]
        assert int(reply.json()["detail"].rpartition(" become ")[2]) <= 16 * MEBIBYTE


def test_what_becomes_much_is_no_bomb_where_that_is_allowed(serving: Process) -> None:
    lines = b"".join(b'{"id": "%d", "code": "00ff"}\n' % (number % 100) for number in range(40_000))
    assert len(lines) < BODY_BYTES
    body = zstd.compress(lines, 19)
    assert len(lines) > 200 * len(body) / 4
    headers = {"Content-Type": MEDIA["lines"], "Content-Encoding": "zstd"}
    reply = serving.client.post("/v1/collections/c/index", content=body, headers=headers)
    assert reply.json() == {"indexed": 40_000, "rejected": []}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_sender_waits_for_the_writer(serving: Process, encoding: str) -> None:
    lines = b"".join(b'{"id": "%d", "code": "00ff", "payload": {"x": "%0900d"}}\n' % (n, n) for n in range(1000))
    # Not compressed within gzip: as many bytes on the wire.
    chunk = zlib.compress(lines, 0, GZIP) if encoding == "gzip" else lines
    chunks, sent = 2 * ON_ITS_WAY // len(chunk), 0
    replies: list[httpx.Response] = []

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(chunks):
            yield chunk
            sent += len(chunk)

    def send() -> None:
        headers = {"Content-Type": MEDIA["lines"], "Content-Encoding": encoding}
        replies.append(serving.client.post("/v1/collections/c/index", content=body(), headers=headers))

    database = Path(serving.data) / DATABASE  # type: ignore[attr-defined]
    sending = threading.Thread(target=send)
    with Peak(serving.pid) as peak:
        with closing(sqlite3.connect(database, isolation_level=None)) as writing:
            writing.execute("BEGIN IMMEDIATE")
            sending.start()
            before = -1
            while sent != before:
                before = sent
                time.sleep(0.3)
            assert sent < ON_ITS_WAY < chunks * len(chunk)
            writing.execute("ROLLBACK")
        sending.join()
    assert replies[0].json() == {"indexed": chunks * 1000, "rejected": []}
    assert peak.grown < ALLOWED

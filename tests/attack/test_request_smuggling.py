"""A request that is hidden in the body of another one must never run, however the bytes of the two arrive."""

import asyncio
import gzip
import json
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from service.process import framing
from service.process.server import Connection
from service.settings import Settings
from tests.serving import running

VICTIM = b"DELETE /v1/collections/victim HTTP/1.1\r\nHost: localhost\r\n\r\n"
AFTER = b"GET /after HTTP/1.1\r\nHost: localhost\r\n\r\n"
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
UPGRADE = ("Connection: Upgrade", "Upgrade: foo")
LENGTH = f"Content-Length: {len(VICTIM)}"
CHUNKED = "Transfer-Encoding: chunked"


class Variant(NamedTuple):
    """A way to send a request with `VICTIM` in its body, and what comes of it.

    `status` 200: the body is read whole; `open`: the next request on the connection is answered, too.
    """

    headers: tuple[str, ...]
    body: bytes = VICTIM
    status: int = 200
    open: bool = True
    version: str = "HTTP/1.1"
    method: str = "POST"
    host: tuple[str, ...] = ("Host: localhost",)
    target: str | None = None

    def sent(self, target: str, *headers: str) -> bytes:
        """The bytes of the request."""
        start = f"{self.method} {self.target or target} {self.version}"
        return "\r\n".join([start, *self.host, *headers, *self.headers, "", ""]).encode("latin-1") + self.body


def chunks(*parts: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """A body in chunks."""
    made = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    return made + b"0" + extension + b"\r\n" + trailer + b"\r\n"


IN_CHUNKS = chunks(VICTIM[:9], VICTIM[9:])
VARIANTS = {
    # Read whole, and the next request on the connection is served.
    "length": Variant((LENGTH,)),
    "chunks": Variant((CHUNKED,), IN_CHUNKS),
    "chunks in capitals": Variant(("TRANSFER-ENCODING:CHUNKED",), IN_CHUNKS),
    "upgrade": Variant((*UPGRADE, LENGTH)),
    "upgrade after the length": Variant((LENGTH, *UPGRADE)),
    "upgrade in capitals": Variant(("CONNECTION: UPGRADE", "UPGRADE: FOO", LENGTH)),
    "upgrade without a space": Variant(("connection:upgrade", "upgrade:foo", LENGTH)),
    "upgrade without Connection": Variant(("Upgrade: foo", LENGTH)),
    "upgrade by Connection alone": Variant(("Connection: upgrade", LENGTH)),
    "upgrade by Proxy-Connection": Variant(("Proxy-Connection: upgrade", "Upgrade: foo", LENGTH)),
    "upgrade twice": Variant((*UPGRADE, *UPGRADE, LENGTH)),
    "upgrade to nothing": Variant(("Connection: Upgrade", "Upgrade:", LENGTH)),
    "upgrade to many": Variant(("Connection: a,,Upgrade ,b", "Upgrade: foo/1, h2c, websocket", LENGTH)),
    "upgrade to h2c": Variant((*H2C, LENGTH)),
    "upgrade to h2c in chunks": Variant((*H2C, CHUNKED), IN_CHUNKS),
    "upgrade in chunks": Variant((*UPGRADE, CHUNKED), IN_CHUNKS),
    "upgrade to WebSocket": Variant(
        (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            LENGTH,
        )
    ),
    "upgrade and expect": Variant((*UPGRADE, "Expect: 100-continue", LENGTH)),
    "upgrade and expect in chunks": Variant((*UPGRADE, "Expect: 100-continue", CHUNKED), IN_CHUNKS),
    "upgrade with an empty body": Variant((*UPGRADE, "Content-Length: 0"), b""),
    "upgrade without a body": Variant(UPGRADE, b""),
    "expect": Variant(("expect: 100-Continue", LENGTH)),
    "tokens of Connection": Variant(("Connection: keep-alive, foo, Content-Length", LENGTH)),
    "a length after a tab": Variant((f"Content-Length:\t{len(VICTIM)} ",)),
    "a length with zeros": Variant((f"Content-Length: 000{len(VICTIM)}",)),
    "an extension": Variant((CHUNKED,), chunks(VICTIM, extension=b';a="b"')),
    "a trailer": Variant((CHUNKED,), chunks(VICTIM, trailer=b"X-Host: victim\r\nHost: elsewhere\r\n")),
    "a trailer that upgrades": Variant(
        (CHUNKED,), chunks(VICTIM, trailer=b"Connection: upgrade\r\nUpgrade: foo\r\nExpect: nope\r\n")
    ),
    "GET": Variant((LENGTH,), method="GET"),
    "GET in chunks": Variant((CHUNKED,), IN_CHUNKS, method="GET"),
    "DELETE": Variant((*UPGRADE, LENGTH), method="DELETE"),
    "OPTIONS": Variant((LENGTH,), method="OPTIONS"),
    "a whole URL": Variant((LENGTH,), target="http://localhost/carrier"),
    "no value of Host": Variant((LENGTH,), host=("Host:",)),
    # Read whole, and then the connection ends.
    "close": Variant(("Connection: close", LENGTH), open=False),
    "close and keep-alive": Variant(("Connection: close, keep-alive", LENGTH), open=False),
    "close and upgrade": Variant(("Connection: close, upgrade", "Upgrade: foo", LENGTH), open=False),
    "close after upgrade": Variant((*UPGRADE, "Connection: close", LENGTH), open=False),
    "HTTP/1.0": Variant((LENGTH,), version="HTTP/1.0", open=False),
    "HTTP/1.0 without Host": Variant((LENGTH,), version="HTTP/1.0", open=False, host=()),
    "HTTP/1.0 to be kept": Variant(("Connection: keep-alive", LENGTH), version="HTTP/1.0", open=False),
    "HTTP/1.0 and upgrade": Variant((*UPGRADE, LENGTH), version="HTTP/1.0", open=False),
    "HTTP/1.0 and expect": Variant(("Expect: 100-continue, foo", LENGTH), version="HTTP/1.0", open=False),
    # Refused, and the connection ends.
    "a length and chunks": Variant((LENGTH, CHUNKED), IN_CHUNKS, 400),
    "chunks and a length": Variant((CHUNKED, LENGTH), IN_CHUNKS, 400),
    "chunks and a length of 0": Variant((CHUNKED, "Content-Length: 0"), IN_CHUNKS, 400),
    "a length, chunks, upgrade": Variant((*UPGRADE, LENGTH, CHUNKED), IN_CHUNKS, 400),
    "a length and a coding": Variant((LENGTH, "Transfer-Encoding: identity"), VICTIM, 400),
    **{
        f"the coding {coding!r}": Variant((f"Transfer-Encoding: {coding}",), IN_CHUNKS, 400)
        for coding in (
            *("gzip, chunked", "xchunked", "chunked, identity", "identity", "", "gzip", "chunked;q=1", "chunked,"),
            *(",chunked", "chunked, chunked", "\x0bchunked", '"chunked"', "chunked\x00", "chunked\xa0"),
        )
    },
    "two codings": Variant(("Transfer-Encoding: identity", CHUNKED), IN_CHUNKS, 400),
    "two codings, reversed": Variant((CHUNKED, "Transfer-Encoding: identity"), IN_CHUNKS, 400),
    "chunks twice": Variant((CHUNKED, CHUNKED), IN_CHUNKS, 400),
    "chunks in HTTP/1.0": Variant((CHUNKED,), IN_CHUNKS, 400, version="HTTP/1.0"),
    "chunks and upgrade in HTTP/1.0": Variant((*UPGRADE, CHUNKED), IN_CHUNKS, 400, version="HTTP/1.0"),
    **{
        f"the length {length!r}": Variant((f"Content-Length: {length}",), status=400)
        for length in (
            "+5",
            "-5",
            "5,5",
            "5 5",
            "0x5",
            "5a",
            "",
            "99999999999999999999",
            "5\x0b",
            "\uff15".encode().decode("latin-1"),
        )
    },
    "two lengths": Variant(("Content-Length: 0", LENGTH), status=400),
    "two equal lengths": Variant((LENGTH, LENGTH), status=400),
    "a space before the colon": Variant(("Content-Length : 0",), status=400),
    "a space before the name": Variant((" Content-Length: 0",), status=400),
    "a folded header": Variant(("X-A: b", " c", LENGTH), status=400),
    "a folded length": Variant(("Content-Length:", f" {len(VICTIM)}"), status=400),
    "a folded upgrade": Variant(("Connection:", " upgrade", "Upgrade: foo", LENGTH), status=400),
    "a lone CR": Variant((f"X-A: b\r{LENGTH}",), status=400),
    "a lone LF": Variant((f"X-A: b\n{LENGTH}",), status=400),
    "a NUL in a value": Variant(("X-A: \x00", LENGTH), status=400),
    "a NUL in a name": Variant(("X\x00A: b", LENGTH), status=400),
    "a header without a name": Variant((": b", LENGTH), status=400),
    "no Host": Variant((LENGTH,), status=400, host=()),
    "two Hosts": Variant((LENGTH,), status=400, host=("Host: localhost", "Host: localhost")),
    "a Host that is none": Variant((LENGTH,), status=400, host=("Host: local host/",)),
    "two Hosts and upgrade": Variant((*UPGRADE, LENGTH), status=400, host=("Host: a", "Host: b")),
    "another expectation": Variant(("Expect: foo", LENGTH), status=417),
    "another expectation and upgrade": Variant((*UPGRADE, "Expect: 100-continue, foo", LENGTH), status=417),
    "HTTP/0.9": Variant((LENGTH,), status=505, version="HTTP/0.9"),
    "HTTP/2.0": Variant((*UPGRADE, LENGTH), status=505, version="HTTP/2.0"),
    "HTTP/1.2": Variant((LENGTH,), status=400, version="HTTP/1.2"),
    "no version": Variant((), b"", status=400, version=""),
    "the preface of HTTP/2": Variant(
        (), b"SM\r\n\r\n" + VICTIM, 400, method="PRI", version="HTTP/2.0", target="*", host=()
    ),
    "CONNECT": Variant((LENGTH,), status=501, method="CONNECT", target="localhost:80"),
    "CONNECT and upgrade": Variant((*UPGRADE,), status=501, method="CONNECT", target="localhost:80"),
    "a fragment": Variant((LENGTH,), status=400, target="/carrier#x"),
    "a whole URL of another kind": Variant((LENGTH,), status=400, target="ftp://localhost/carrier"),
    "a whole URL with a user": Variant((LENGTH,), status=400, target="http://a@localhost/carrier"),
    "a whole URL without a host": Variant((LENGTH,), status=400, target="http:///carrier"),
    # Of a body that turns out to be none the request is refused when its head is served already.
    **{
        f"the chunk size {size!r}": Variant((CHUNKED,), size + b"\r\n" + VICTIM + b"\r\n0\r\n\r\n", 400)
        for size in (b"zz", b"-1", b"0x1", b"1 ", b"", b"10000000000000001", b"+1", b"1;\n", b"\r\n1")
    },
    "a chunk longer than its size": Variant((CHUNKED,), b"1\r\n" + VICTIM + b"\r\n0\r\n\r\n", 400),
    "chunks that end with LF": Variant((CHUNKED,), IN_CHUNKS.replace(b"\r\n", b"\n"), 400),
    "a length in a trailer": Variant((CHUNKED,), chunks(VICTIM, trailer=b"Content-Length: 5\r\n"), 400),
    "chunks in a trailer": Variant((CHUNKED,), chunks(VICTIM, trailer=b"Transfer-Encoding: chunked\r\n"), 400),
}


class Served(NamedTuple):
    """What a connection came to: requests that the application saw, the statuses of the replies, its end."""

    calls: list[tuple[str, str, bytes]]
    statuses: list[int]
    closed: bool
    received: bytes


class Wire(asyncio.Transport):
    """The server's end of a connection, without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.ended
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closing = self.ended = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def echo(scope: Any, receive: Any, send: Any, calls: list[tuple[str, str, bytes]]) -> None:
    """Reads the body, then answers 200; `/early` is answered 413 before the body is read."""
    body, more = b"", True
    while more and scope["path"] != "/early":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    calls.append((scope["method"], scope["path"], body))
    status = 413 if scope["path"] == "/early" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Lines:
    """Connections of a server whose application notes what it is asked."""

    def __init__(self, app: Any = None) -> None:
        self._calls: list[tuple[str, str, bytes]] = []

        async def noted(scope: Any, receive: Any, send: Any) -> None:
            await echo(scope, receive, send, self._calls)

        self._config = uvicorn.Config(app or noted, log_config=None, http=Connection)
        self._config.load()

    async def serve(self, *parts: bytes) -> Served:
        """Everything that comes of bytes that arrive in these parts, each once the one before it was looked at."""
        self._calls.clear()
        wire = Wire()
        state = ServerState()
        connection = Connection(self._config, state, {})
        connection.connection_made(wire)
        for part in parts:
            if not wire.closing:
                connection.data_received(part)
            await _settled(state)
        served = Served(self._calls.copy(), _statuses(wire.written), wire.ended, wire.written)
        connection.connection_lost(None)
        await _settled(state)
        return served


async def _settled(state: ServerState) -> None:
    # The turns that a request takes here, and the one that joined writes wait for.
    for _ in range(6 if state.tasks else 2):
        await asyncio.sleep(0)


def _statuses(received: bytes) -> list[int]:
    found = [int(status) for status in re.findall(rb"(?:^|\r\n\r\n|\})HTTP/1.1 (\d{3}) ", received)]
    return [status for status in found if status != 100]


def _check(served: Served, variant: Variant, before: bool = False, after: bool = False) -> None:
    statuses = [200] * before + [variant.status]
    calls: list[tuple[str, str, bytes]] = [("GET", "/before", b"")] if before else []
    if variant.status == 200:
        calls.append((variant.method, "/carrier", VICTIM if variant.body else b""))
        if after and variant.open:
            calls.append(("GET", "/after", b""))
            statuses.append(200)
    assert served.calls == calls, served
    assert served.statuses == statuses, served
    assert served.closed is not (variant.status == 200 and variant.open), served


BEFORE = b"GET /before HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def lines() -> Lines:
    """Lines to a server."""
    return Lines()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_body_is_never_run_wherever_the_bytes_are_parted(lines: Lines, name: str) -> None:
    variant = VARIANTS[name]
    sent = variant.sent("/carrier")

    async def all_ways() -> None:
        for place in range(1, len(sent)):
            _check(await lines.serve(sent[:place], sent[place:]), variant)
        _check(await lines.serve(*(sent[place : place + 1] for place in range(len(sent)))), variant)
        _check(await lines.serve(sent, AFTER), variant, after=True)
        # In one go, and with a request before it.
        _check(await lines.serve(sent + AFTER), variant, after=True)
        _check(await lines.serve(BEFORE + sent + AFTER), variant, before=True, after=True)
        head = len(sent) - len(variant.body)
        _check(await lines.serve(BEFORE + sent[:head], sent[head:] + AFTER), variant, before=True, after=True)

    asyncio.run(all_ways())


WAYS = ("at once", "after the head", "in the body")


def _parted(variant: Variant, way: str) -> tuple[bytes, ...]:
    sent = variant.sent("/early")
    place = {"at once": len(sent), "after the head": len(sent) - len(variant.body), "in the body": len(sent) - 9}[way]
    # In one part, the request after it is in the same one.
    return (sent + AFTER,) if way == "at once" else (sent[:place], sent[place:] + AFTER)


@pytest.mark.parametrize("headers", [(), UPGRADE, H2C, ("Expect: 100-continue",)], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_what_follows_a_reply_before_the_body_is_no_request(lines: Lines, headers: tuple[str, ...], way: str) -> None:
    for body in ((LENGTH,), VICTIM), ((CHUNKED,), IN_CHUNKS):
        variant = Variant((*headers, *body[0]), body[1])
        served = asyncio.run(lines.serve(*_parted(variant, way)))
        whole = way == "at once"
        assert served.statuses == [413, 200] if whole else [413], served
        assert [path for _, path, _ in served.calls] == (["/early", "/after"] if whole else ["/early"])
        assert served.closed is not whole
        assert (b"connection: close" in served.received.lower()) is not whole


def test_a_client_is_not_served_by_an_endless_body_or_empty_lines(
    monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    served = asyncio.run(lines.serve(Variant((CHUNKED,), b"").sent("/early"), *[b"5\r\nhello\r\n"] * 50))
    assert (served.statuses, served.closed) == ([413], True)
    assert b"connection: close" in served.received


@pytest.mark.parametrize("part", ["extension", "trailer"])
def test_what_surrounds_chunks_is_bounded(lines: Lines, part: str) -> None:
    start = {"extension": b"1;", "trailer": b"0\r\nX-A: "}[part]
    served = asyncio.run(lines.serve(Variant((CHUNKED,), start).sent("/carrier"), *[b"a" * 2**14] * 16))
    assert (served.statuses, served.calls) == ([400], [])
    assert b"between two parts of a body" in served.received


def test_a_long_body_is_not_taken_for_what_surrounds_chunks(lines: Lines) -> None:
    part = b"a" * 2**16
    for headers, parts in (
        ((f"Content-Length: {len(part) * 8}",), [part] * 8),
        ((CHUNKED,), [*[b"%x\r\n%s\r\n" % (len(part), part)] * 8, b"0\r\n\r\n"]),
    ):
        served = asyncio.run(lines.serve(Variant(headers, b"").sent("/carrier"), *parts))
        assert [len(body) for _, _, body in served.calls] == [8 * len(part)]


def test_a_trailer_is_no_header() -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.append(scope["headers"])

    variant = Variant((CHUNKED,), chunks(b"a", trailer=b"Authorization: Bearer stolen\r\n"))
    other = Lines(look)
    asyncio.run(other.serve(variant.sent("/carrier")))
    assert [name for name, _ in seen[0]] == [b"host", b"transfer-encoding"]


def test_the_host_of_a_whole_url_counts() -> None:
    seen: list[tuple[str, bytes, bytes]] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope["query_string"], dict(scope["headers"])[b"host"]))

    other = Lines(look)
    for target in ("http://elsewhere.example:81/a%20b?c=d", "HTTP://elsewhere.example:81?c=d"):
        asyncio.run(other.serve(Variant((), b"", target=target).sent("")))
    assert seen == [
        ("/a b", b"c=d", b"elsewhere.example:81"),
        ("/", b"c=d", b"elsewhere.example:81"),
    ]


def test_requests_that_are_sent_ahead_are_bounded_and_those_before_are_answered(lines: Lines) -> None:
    served = asyncio.run(_waited(lines, BEFORE * (framing.MOST_PIPELINED + 1)))
    assert served.statuses == [200] * (framing.MOST_PIPELINED + 1)
    served = asyncio.run(_waited(lines, BEFORE * (framing.MOST_PIPELINED + 9)))
    assert served.statuses == [200] * (framing.MOST_PIPELINED + 1) + [429]
    assert served.closed


async def _waited(lines: Lines, sent: bytes) -> Served:
    return await lines.serve(sent, *[b""] * 200)


def test_headers_are_bounded_in_number(lines: Lines) -> None:
    headers = tuple(f"X-{number}: a" for number in range(framing.MOST_HEADERS - 2))
    _check(asyncio.run(lines.serve(Variant((*headers, LENGTH)).sent("/carrier"))), Variant((LENGTH,)))
    served = asyncio.run(lines.serve(Variant((*headers, LENGTH, "X-More: a")).sent("/carrier")))
    assert (served.statuses, served.calls, served.closed) == ([431], [], True)


def test_http_1_0_gets_no_chunks() -> None:
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one ", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    other = Lines(stream)
    received = {}
    for version in ("HTTP/1.0", "HTTP/1.1"):
        for method in ("GET", "HEAD"):
            served = asyncio.run(other.serve(Variant((), b"", method=method, version=version).sent("/")))
            assert served.closed is (version == "HTTP/1.0")
            received[version, method] = served.received.partition(b"\r\n\r\n")
    head, _, body = received["HTTP/1.0", "GET"]
    assert body == b"one two" and b"chunked" not in head and b"connection: close" in head
    assert received["HTTP/1.0", "HEAD"][2] == received["HTTP/1.1", "HEAD"][2] == b""
    assert b"chunked" in received["HTTP/1.1", "GET"][0]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with a collection to write to, and one that must not be deleted."""
    folder = tmp_path_factory.mktemp("smuggling")
    with running(Settings(hashers=folder / "none", data=folder / "data")) as serving:
        for name in ("own", "victim"):
            serving.put(f"/v1/collections/{name}", json={"bits": 8}).raise_for_status()
        yield serving


def _exchange(client: httpx.Client, *parts: bytes, until: bytes = b"\n\n") -> bytes:
    """What a connection answers within a moment to parts that are sent with pauses between."""
    received = b""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(0.03)
            connection.settimeout(0.3)
            while not received.endswith(until) and (part := connection.recv(65536)):
                received += part
        except (TimeoutError, ConnectionError):
            pass
    return received


ITEM = b'{"id": "a", "code": "0f"}\n'
NDJSON = "Content-Type: application/x-ndjson"
# As an import whose lines are those of the hidden request, a search that is no JSON, and what is answered early.
TARGETS = ("/v1/collections/own/index", "/v1/collections/own/search", "/v1/collections/own/items?nope=1", "/nope")


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_hidden_runs_over_a_socket(client: httpx.Client, target: str) -> None:
    def attack(name: str) -> None:
        variant = VARIANTS[name]
        sent = variant.sent(target, NDJSON)
        head = len(sent) - len(variant.body)
        for parts in (
            (sent + AFTER,),
            (sent[:head], sent[head:]),
            (sent[: head - 3], sent[head - 3 : head + 9], sent[head + 9 :]),
        ):
            received = _exchange(client, *parts)
            assert b"HTTP/1.1 204" not in received, (name, parts, received)

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(attack, VARIANTS))
    assert client.get("/v1/collections/victim").status_code == 200


INDEXED = b'{"indexed":500,"rejected":[]}'
UPGRADED: dict[str, tuple[str, ...]] = {
    "h2c": H2C,
    "foo": UPGRADE,
    "h2c and expect": (*H2C, "Expect: 100-continue"),
}


@pytest.mark.parametrize("name", UPGRADED)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_import_with_upgrade_indexes_every_line(
    client: httpx.Client, name: str, encoding: str, chunked: bool
) -> None:
    body = b"".join(b'{"id": "%d", "code": "0f"}\n' % number for number in range(500))
    coded = gzip.compress(body) if encoding == "gzip" else body
    length = (CHUNKED,) if chunked else (f"Content-Length: {len(coded)}",)
    content = chunks(coded[:99], coded[99:]) if chunked else coded
    variant = Variant((*UPGRADED[name], f"Content-Encoding: {encoding}", *length), content)
    sent = variant.sent("/v1/collections/own/index", NDJSON)
    head = len(sent) - len(content)
    for parts in ((sent,), (sent[:head], sent[head : head + 200], sent[head + 200 :])):
        assert _exchange(client, *parts, until=INDEXED).endswith(INDEXED), parts


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
@pytest.mark.parametrize("options", [(), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")], ids=str)
def test_curl_that_offers_http2_indexes_every_line(
    client: httpx.Client, tmp_path: Path, options: Sequence[str]
) -> None:
    lines = tmp_path / "lines.ndjson"
    lines.write_text("".join(f'{{"id": "{number}", "code": "0f"}}\n' for number in range(2000)))
    command = ["curl", "-sS", "--http2", "-m", "20", *options, "-H", NDJSON, "--data-binary", f"@{lines}"]
    done = subprocess.run(
        [*command, f"{client.base_url}/v1/collections/own/index"], capture_output=True, text=True, timeout=30
    )
    assert json.loads(done.stdout) == {"indexed": 2000, "rejected": []}, done


NOISE = (
    *("Connection: Upgrade", "Connection: close", "Connection: keep-alive, Upgrade", "Proxy-Connection: upgrade"),
    *("Upgrade: foo", "Upgrade: h2c", "Upgrade: websocket", "upgrade:", "Expect: 100-continue", "expect: 100-CONTINUE"),
    *("TE: trailers, chunked", "Trailer: Content-Length", "Keep-Alive: timeout=5", "Max-Forwards: 0", "X-A: b"),
    *("HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "X-HTTP-Method-Override: DELETE", "Content-Encoding: chunked"),
)
CONFLICTS = (
    *("Content-Length: 0", "Content-Length: 9", "Transfer-Encoding: identity", "Transfer-Encoding: chunked, x"),
    *("Transfer-Encoding: xchunked", "Transfer-Encoding:", "Content-Length:", "Content-Length: +0", "Expect: foo"),
    *("Content_Length: 0", "Content-Length : 0", "X: y\nContent-Length: 0", "X: y\rContent-Length: 0"),
    *("Transfer-Encoding : chunked", "Host: other", "\tContent-Length: 0", "Content-Length\x00: 0"),
)


def test_no_mixture_of_headers_runs_what_is_in_a_body(lines: Lines, seed: int, long: bool) -> None:
    draw = random.Random(seed)

    async def attack() -> int:
        read = 0
        for _ in range(20_000 if long else 2000):
            framing = draw.choice([((LENGTH,), VICTIM), ((CHUNKED,), chunks(VICTIM)), ((CHUNKED,), IN_CHUNKS)])
            headers = [*framing[0], *draw.sample(NOISE, draw.randrange(6))]
            if draw.random() < 0.3:
                headers.append(draw.choice(CONFLICTS))
            draw.shuffle(headers)
            version = draw.choice(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])
            method = draw.choice(["POST", "GET", "DELETE", "OPTIONS"])
            target = draw.choice(["/carrier", "/early", "http://localhost/carrier"])
            sent = Variant(tuple(headers), framing[1], method=method, version=version).sent(target) + AFTER
            places = sorted(draw.sample(range(len(sent)), draw.randrange(4)))
            ends = zip([0, *places], [*places, len(sent)], strict=True)
            served = await lines.serve(*(sent[start:end] for start, end in ends if start < end))
            assert not any("victim" in path for _, path, _ in served.calls), (headers, served)
            bodies = [body for _, path, body in served.calls if path == "/carrier"]
            assert bodies in ([], [VICTIM]), (headers, served)
            read += len(bodies)
        return read

    # Most are taken, and read whole.
    assert asyncio.run(attack()) > 500

"""Clients that end their half of a connection after their request, as `nc -N` does, get their responses."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from service.process import framing
from service.process.server import Connection
from service.settings import Settings
from tests.attack.test_request_smuggling import Wire
from tests.serving import running

GET = b"GET /v1/collections/own/items?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
ITEMS = 5000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with a collection of items that all have one code."""
    folder = tmp_path_factory.mktemp("half")
    with running(Settings(hashers=folder / "none", data=folder / "data")) as serving:
        serving.put("/v1/collections/own", json={"bits": 64}).raise_for_status()
        items = [{"id": f"{number:064}", "code": "0" * 16} for number in range(ITEMS)]
        serving.post("/v1/collections/own/index", json={"items": items}).raise_for_status()
        yield serving


def _exchange(client: httpx.Client, sent: bytes, pause: float = 0.0) -> bytes:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.sendall(sent)
        time.sleep(pause)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(2**16):
            received += part
    return received


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def _post(path: str, body: bytes) -> bytes:
    head = f"POST /v1/collections/own/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


SENT = {
    "GET": (GET, [200]),
    "HTTP/1.0": (GET.replace(b"HTTP/1.1", b"HTTP/1.0"), [200]),
    "close": (GET.replace(b"Host", b"Connection: close\r\nHost"), [200]),
    "body": (_post("search", b'{"query": {"code": "0000000000000000"}}'), [200]),
    "streamed": (_post("duplicates", b'{"max_distance": 0}'), [200]),
    "pipelined": (GET * 5, [200] * 5),
    "a part of a head": (GET * 3 + GET[:20], [200] * 3),
    "no HTTP": (GET * 3 + b"nope\r\n\r\n", [200, 200, 200, 400]),
    "a part of a body": (_post("search", b'{"query": {"code": "0000000000000000"}}')[:-1], []),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize("pause", [0, 0.002, 0.3])
def test_whole_requests_are_answered_whole(client: httpx.Client, name: str, pause: float) -> None:
    sent, statuses = SENT[name]
    started = time.monotonic()
    received = _exchange(client, sent, pause)
    assert _statuses(received) == statuses
    if name == "streamed":
        assert received.endswith(b"\r\n0\r\n\r\n") and received.count(b'"id":') == ITEMS
    elif statuses == [200]:
        head, _, body = received.partition(b"\r\n\r\n")
        assert int(re.findall(rb"content-length: (\d+)", head)[0]) == len(body)
    # Not by the end of the time that an idle connection is kept.
    assert time.monotonic() - started < uvicorn.Config("").timeout_keep_alive


@pytest.mark.parametrize("start", [False, True])
def test_a_client_that_may_have_left_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch, start: bool) -> None:
    monkeypatch.setattr(framing, "HALF_CLOSED_SECONDS", 0.05)
    received: list[str] = []

    async def work(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.sleep(0.2)
            await send({"type": "http.response.body", "body": b"whole"})
        else:
            received.append((await receive())["type"])

    async def leave() -> Wire:
        wire, state = Wire(), ServerState()
        config = uvicorn.Config(work, ws="none", log_config=None)
        connection = Connection(config, state, {})

        def close() -> None:
            if not wire.closing:
                Wire.close(wire)
                connection.connection_lost(None)

        monkeypatch.setattr(wire, "close", close)
        connection.connection_made(wire)
        connection.data_received(GET)
        await asyncio.sleep(0)
        connection.eof_received()
        await asyncio.wait(state.tasks, timeout=5)
        assert not state.tasks
        await asyncio.sleep(0.01)
        return wire

    wire = asyncio.run(leave())
    assert wire.closing
    assert received == ([] if start else ["http.disconnect"])
    assert wire.written.endswith(b"5\r\nwhole\r\n0\r\n\r\n") is start

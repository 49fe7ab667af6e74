"""How long a request's head may take, by a clock that is turned on."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.process import heads
from service.process.server import Connection

MOMENT = 0.2


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST_SECONDS", MOMENT)


async def _asked(*parts: bytes, pause: float = 0.0, wait: float = 5 * MOMENT) -> tuple[bytes, bool]:
    """What a connection answers to parts that are sent with pauses between, and whether it is closed in the end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, log_config=None, timeout_keep_alive=60)
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        received, closed = b"", False
        try:
            async with asyncio.timeout(wait):
                while part := await reader.read(65536):
                    received += part
                closed = True
        except TimeoutError:
            pass
        writer.close()
        for connection in list(state.connections):
            connection.transport.close()
        await asyncio.sleep(0.01)
    return received, closed


WHOLE = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
LATE = b"expected the headers within 0.2 seconds, got a part of them"


def test_a_head_that_does_not_come_to_its_end_is_a_408() -> None:
    received, closed = asyncio.run(_asked(b"GET / HTTP/1.1\r\nX-A: "))
    assert (received.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), LATE in received, closed) == (True, True, True)


def test_nor_does_it_help_to_send_a_bit_now_and_then() -> None:
    received, closed = asyncio.run(_asked(b"GET / HTTP/1.1\r\nX-A: ", *[b"a"] * 3, pause=MOMENT / 4))
    assert (received.startswith(b"HTTP/1.1 408 "), closed) == (True, True)


def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word() -> None:
    assert asyncio.run(_asked()) == (b"", True)


def test_the_next_one_on_a_connection_has_its_time_too_and_no_more() -> None:
    received, closed = asyncio.run(_asked(WHOLE, WHOLE, b"GET /", pause=MOMENT * 0.8))
    assert [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 204 No Content",
        b"HTTP/1.1 204 No Content",
        b"HTTP/1.1 408 Request Timeout",
    ]
    assert closed


def test_what_was_answered_may_rest_as_long_as_the_server_lets_it() -> None:
    received, closed = asyncio.run(_asked(WHOLE))
    assert (received.startswith(b"HTTP/1.1 204 "), closed) == (True, False)

"""Replies that are sent before a request's body has come: the client gets them whole, and the connection ends soon."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from service.keys import Role, line, new_key
from service.process import framing
from service.settings import Settings
from tests.serving import running

KEY = new_key()
LINGER_SECONDS = 0.4
SEARCH = "/v1/collections/own/search"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections end soon."""
    monkeypatch.setattr(framing, "LINGER_SECONDS", LINGER_SECONDS)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with a key that is soon out of time."""
    folder = tmp_path_factory.mktemp("unread")
    settings = Settings(
        hashers=folder / "none",
        data=folder / "data",
        keys=line(Role.ADMIN, KEY),
        max_seconds=0.5,
        max_body_bytes=1000,
    )
    with running(settings) as serving:
        serving.headers["Authorization"] = f"Bearer {KEY}"
        serving.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
        yield serving


def _head(path: str, *headers: str, key: str = KEY) -> bytes:
    start = (f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {key}")
    return "\r\n".join([*start, *headers, "", ""]).encode()


HEADS = {
    401: _head(SEARCH, "Content-Length: 900", key="none"),
    404: _head("/nope", "Content-Length: 900"),
    405: _head("/livez", "Content-Length: 900"),
    413: _head(SEARCH, "Content-Length: 900000"),
    415: _head(SEARCH, "Content-Length: 900", "Content-Encoding: br"),
    417: _head(SEARCH, "Content-Length: 900", "Expect: more"),
    422: _head(f"{SEARCH}?nope=1", "Content-Length: 900"),
    504: _head(SEARCH, "Content-Length: 900"),
}


@pytest.mark.parametrize("status", HEADS)
@pytest.mark.parametrize("expect", [False, True])
def test_a_client_that_drips_its_body_loses_its_connection(client: httpx.Client, status: int, expect: bool) -> None:
    head = HEADS[status]
    if expect and status != 417:
        head = head[:-2] + b"Expect: 100-continue\r\n\r\n"
    received, ended = b"", False
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.sendall(head)
        connection.settimeout(0.05)
        deadline = time.monotonic() + 20
        while not ended and time.monotonic() < deadline:
            try:
                part = connection.recv(65536)
                received += part
                # Half closed: what is sent is still taken for a moment.
                if not part:
                    time.sleep(0.05)
                connection.sendall(b" ")
            except TimeoutError:
                connection.sendall(b" ")
            except ConnectionError:
                ended = True
    assert ended
    final = received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert final.startswith(b"HTTP/1.1 %d " % status), received
    assert b"\r\nconnection: close\r\n" in final.lower()
    assert final.endswith(b"}")
    assert time.monotonic() < deadline - 20 + 0.5 + LINGER_SECONDS + 5


@pytest.mark.parametrize("status", [401, 413, 404])
def test_the_reply_is_not_lost_where_the_client_still_sends(client: httpx.Client, status: int) -> None:
    # A connection that is closed with bytes unread is reset, and what was not read of the reply is gone.
    for _ in range(10):
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
            connection.sendall(HEADS[status] + b" " * 800)
            if status == 413:
                connection.sendall(b" " * 400_000)
            time.sleep(0.02)
            received = b""
            while part := connection.recv(65536):
                received += part
        assert received.startswith(b"HTTP/1.1 %d " % status) and received.endswith(b"}")


def test_empty_lines_do_not_keep_a_connection(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() < started + 15:
                connection.sendall(b"\r\n")
                time.sleep(0.1)
    # As long as the server keeps one on which nothing is asked.
    assert time.monotonic() < started + 10

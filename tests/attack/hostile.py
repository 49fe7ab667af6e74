"""Clients that misbehave, on sockets of their own: they leave early, do not read, or send slowly."""

import json
import socket
import time
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import orjson

JSON, NDJSON = "application/json", "application/x-ndjson"
PATIENCE_SECONDS = 60.0
# Small, so that a reply that is not read fills the buffers of the system soon.
UNREAD_BUFFER_BYTES = 4096


def connect(url: str, buffer_bytes: int | None = None) -> socket.socket:
    """A connection to a service; `buffer_bytes` is what the system may receive before it is read."""
    address = urlsplit(url)
    connection = socket.socket()
    if buffer_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect((str(address.hostname), address.port))
    return connection


def request(method: str, path: str, body: Any = b"", media_type: str = JSON, **headers: str) -> bytes:
    """A whole request; a body that is not bytes is sent as JSON. `_` in a header's name stands for `-`."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {media_type}"]
    lines += [f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def leave(url: str, sent: bytes, after_seconds: float) -> None:
    """Send a request and close the connection after so long, whatever came until then."""
    with closing(connect(url)) as connection, suppress(OSError):
        connection.sendall(sent)
        connection.settimeout(max(0.001, after_seconds))
        deadline = time.monotonic() + after_seconds
        while time.monotonic() < deadline and connection.recv(65536):
            pass


def do_not_read(url: str, sent: bytes, seconds: float) -> None:
    """Send a request and read nothing of its reply for so long; then close the connection."""
    with closing(connect(url, UNREAD_BUFFER_BYTES)) as connection, suppress(OSError):
        connection.sendall(sent)
        time.sleep(seconds)


def send_slowly(url: str, sent: bytes, seconds: float, pieces: int) -> bytes:
    """Send a request in so many pieces over so long; returns the first bytes of the reply, if any."""
    size = max(1, -(-len(sent) // pieces))
    with closing(connect(url)) as connection:
        try:
            for start in range(0, len(sent), size):
                connection.sendall(sent[start : start + size])
                time.sleep(seconds / pieces)
            return connection.recv(4096)
        except OSError:
            return b""


def ask(url: str, method: str, path: str, body: Any = b"", media_type: str = JSON) -> tuple[int, bytes]:
    """Send a request on a new connection and read all of its reply: the status, and the content."""
    with closing(connect(url)) as connection:
        connection.sendall(request(method, path, body, media_type, Connection="close"))
        received = bytearray()
        while piece := connection.recv(2**20):
            received += piece
    head, _, content = bytes(received).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    status = int(lines[0].split()[1])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if headers.get(b"transfer-encoding") == b"chunked":
        content = _dechunked(content)
    elif len(content) != int(headers.get(b"content-length", b"0")):
        raise OSError(f"expected {headers.get(b'content-length')!r} bytes of content, got {len(content)}")
    return status, content


def ask_json(url: str, method: str, path: str, body: Any = b"", expected: int = 200) -> Any:
    """As `ask`; the content as JSON. Asks again where the service has too much to do."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        status, content = ask(url, method, path, body)
        if status not in (429, 503) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert status == expected, (method, path, status, content[:500])
    return json.loads(content) if content else None


def _dechunked(content: bytes) -> bytes:
    whole = bytearray()
    while True:
        size, separator, content = content.partition(b"\r\n")
        if not separator:
            raise OSError("expected chunks up to the last one, the reply broke off")
        length = int(size, 16)
        if length == 0:
            return bytes(whole)
        whole += content[:length]
        content = content[length + 2 :]

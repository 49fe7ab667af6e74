"""An HTTP client that costs next to nothing: requests made beforehand, one socket, only the length is parsed."""

import socket
from types import TracebackType
from typing import Any

import orjson

from models.errors import HammingwayError

RECEIVE_BYTES = 2**18
JSON, NDJSON = "application/json", "application/x-ndjson"
END = b"\r\n\r\n"


class HttpError(HammingwayError):
    """The service did not answer as it had to."""

    title = "HTTP error"


def request(method: str, path: str, body: bytes = b"", media_type: str = JSON) -> bytes:
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body:
        head += f"Content-Type: {media_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def search_request(collection: str, code: bytes, **options: Any) -> bytes:
    """A search for one code."""
    body = orjson.dumps({"query": {"code": code.hex()}, **options})
    return request("POST", f"/v1/collections/{collection}/search", body)


def length_of(received: bytes | bytearray) -> int | None:
    """How many bytes a reply has in all, once its head is there."""
    end = received.find(END)
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    place = head.find(b"content-length:")
    if place < 0:
        if b" 204 " in head[:16]:
            return end + len(END)
        raise HttpError(f"expected a reply with a length, got {head[:200]!r}")
    return end + len(END) + int(head[place + 15 :].split(b"\r\n", 1)[0])


class Client:
    """One connection that is kept; not for several threads."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def exchange(self, prepared: bytes) -> bytes:
        """Send a request as it is, and return the whole reply."""
        self._socket.sendall(prepared)
        received = bytearray()
        length = None
        while length is None or len(received) < length:
            more = self._socket.recv(RECEIVE_BYTES)
            if not more:
                raise HttpError(f"expected a reply, the service closed the connection after {bytes(received)[:200]!r}")
            received += more
            if length is None:
                length = length_of(received)
        return bytes(received)

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """Send and receive JSON, for what is not measured; raises HttpError where it was not done."""
        return content_of(self.exchange(request(method, path, b"" if content is None else orjson.dumps(content))))


def content_of(reply: bytes) -> Any:
    """The JSON of a reply; raises HttpError where it is an error."""
    head, _, body = reply.partition(END)
    if head[9:10] != b"2":
        raise HttpError(f"expected a reply of success, got {head[:40]!r}: {body[:500]!r}")
    return orjson.loads(body) if body else None

"""A server that answers each connection as it is told to, and notes what it was asked."""

import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

RESET = "reset"
SILENT = "silent"


@dataclass
class Server:
    """What came: for each request its first line and its headers, in order."""

    url: str
    requests: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def answer(status: int, body: str = "{}", *headers: str) -> str:
    """A whole reply."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body])


@contextmanager
def misbehaving(replies: Sequence[str]) -> Iterator[Server]:
    """A server in a thread that answers with these, one a request; then there is none any more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(listening, replies, server), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            # Wakes who waits for a connection that is not to come.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


def _serve(listening: socket.socket, replies: Sequence[str], server: Server) -> None:
    silent = []
    for reply in replies:
        with suppress(OSError):
            connection, _ = listening.accept()
            server.times.append(time.monotonic())
            server.requests.append(_read(connection))
            if reply == SILENT:
                silent.append(connection)
                continue
            if reply == RESET:
                # Closed at once, with what was sent thrown away: the other side sees a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.sendall(reply.encode())
            connection.close()
    for connection in silent:
        connection.close()


def _read(connection: socket.socket) -> str:
    came = b""
    while b"\r\n\r\n" not in came:
        came += connection.recv(65536)
    head, _, body = came.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head.decode()

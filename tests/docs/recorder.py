"""What a page's requests and replies were: a proxy stands at the address that the page names, and notes all of them.

The service itself listens on another port. While nobody does, the proxy answers as a proxy in front of it would: 503.
"""

import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn

from tests.serving import NO_CERTIFICATES, free_port

HOP_BY_HOP = {b"connection", b"transfer-encoding", b"keep-alive", b"content-length"}
Message = MutableMapping[str, Any]


@dataclass(frozen=True)
class Exchange:
    """A request and its reply, whole; header names are small."""

    method: str
    path: str
    sent: bytes
    sent_headers: dict[str, str]
    status: int
    came: bytes
    came_type: str


class Recorder:
    """An ASGI application that hands on to a service on this machine."""

    def __init__(self, port: int) -> None:
        self.exchanges: list[Exchange] = []
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, verify=NO_CERTIFICATES)

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """One request to the service, and its reply back; the connections end with the server."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._client.aclose()
            await send({"type": "lifespan.shutdown.complete"})
            return
        sent, more = b"", True
        while more:
            message = await receive()
            sent += message.get("body", b"")
            more = message.get("more_body", False)
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        headers = [(name, value) for name, value in scope["headers"] if name not in HOP_BY_HOP]
        try:
            request = self._client.build_request(scope["method"], target, headers=headers, content=sent)
            reply = await self._client.send(request, stream=True)
            came = b"".join([piece async for piece in reply.aiter_raw()])
            status, told = reply.status_code, [pair for pair in reply.headers.raw if pair[0].lower() not in HOP_BY_HOP]
            self.exchanges.append(
                Exchange(
                    scope["method"],
                    scope["path"],
                    sent,
                    {name.decode().lower(): value.decode() for name, value in headers},
                    status,
                    came,
                    reply.headers.get("content-type", "").partition(";")[0],
                )
            )
        except httpx.TransportError:
            status, told, came = 503, [(b"retry-after", b"1")], b""
        length = [(b"content-length", str(len(came)).encode())] if status != 204 else []
        await send({"type": "http.response.start", "status": status, "headers": [*told, *length]})
        await send({"type": "http.response.body", "body": came})


@contextmanager
def recording(port: int) -> Iterator[tuple[Recorder, int]]:
    """A recorder in front of a port, and the port that it listens on itself, until the block ends."""
    recorder, own = Recorder(port), free_port()
    config = uvicorn.Config(recorder, port=own, log_level="error", ws="none", lifespan="on", interface="asgi3")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    try:
        yield recorder, own
    finally:
        server.should_exit = True
        thread.join()

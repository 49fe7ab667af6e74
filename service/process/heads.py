"""Heads of requests, bounded: uvicorn takes as many headers as come, for as long as they come."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Twice what a URL may be.
MOST_BYTES = 2**17
MOST_SECONDS = 30.0


class BoundedHeads(HttpToolsProtocol):
    """A connection that is refused where a request's head is too long, or takes too long to come.

    One timer a connection, and no other work but for heads that come in parts.
    """

    _timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._await_head()
        self._timer = self.loop.call_later(MOST_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for none any more."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes, as long as the head is not whole."""
        super().data_received(data)
        if self._in_head:
            self._came += len(data)
            if self._came > MOST_BYTES:
                self.refuse(431, f"expected headers of at most {MOST_BYTES} bytes, got more")

    def on_message_begin(self) -> None:
        """Count anew."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Count no more."""
        super().on_headers_complete()
        self._in_head = False

    def refuse(self, status: int, detail: str) -> None:
        """Answer that no more of a request is read, and close the connection."""
        raise NotImplementedError

    def _await_head(self) -> None:
        self._in_head, self._came, self._since = True, 0, self.loop.time()

    def _look(self) -> None:
        left = self._since + MOST_SECONDS - self.loop.time() if self._in_head else MOST_SECONDS
        if left > 0:
            self._timer = self.loop.call_later(left, self._look)
        elif self._came:
            self.refuse(408, f"expected the headers within {MOST_SECONDS:g} seconds, got a part of them")
        else:
            # Nothing was asked that there would be an answer to.
            self.transport.close()

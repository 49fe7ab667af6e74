"""Heads of requests, bounded: uvicorn takes as many headers as come, for as long as they come."""

import asyncio

from service.process.framing import Framed

# Twice what a URL may be.
MOST_BYTES = 2**17
MOST_SECONDS = 30.0


class BoundedHeads(Framed):
    """A connection that is refused where a request's head is too long, or takes too long to come.

    What surrounds the chunks of a body, their extensions and the trailer, is bounded likewise. One timer a connection,
    and no other work but for heads that come in parts.
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
        """Count what comes that is neither a whole head nor a part of a body."""
        self._progress = False
        super().data_received(data)
        if self._part is None or self._progress:
            # Of the next head as much may have come as is read at a time.
            self._came = int(self._part == "head")
            return
        self._came += len(data)
        if self._came > MOST_BYTES:
            if self._part == "head":
                self.refuse(431, f"expected headers of at most {MOST_BYTES} bytes, got more")
            else:
                self.refuse(400, f"expected at most {MOST_BYTES} bytes between two parts of a body, got more")

    def on_message_begin(self) -> None:
        """Count anew."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Count anew."""
        super().on_headers_complete()
        self._progress = True

    def on_body(self, body: bytes) -> None:
        """Count anew."""
        self._progress = True
        super().on_body(body)

    def _await_head(self) -> None:
        self._came, self._since = 0, self.loop.time()

    def _look(self) -> None:
        in_head = self._part == "head"
        left = self._since + MOST_SECONDS - self.loop.time() if in_head else MOST_SECONDS
        if left > 0:
            self._timer = self.loop.call_later(left, self._look)
        elif self._deaf:
            # Closed when all before it is answered.
            pass
        elif self._came:
            self.refuse(408, f"expected the headers within {MOST_SECONDS:g} seconds, got a part of them")
        else:
            # Nothing was asked that there would be an answer to.
            self.transport.close()

"""Writes of one turn of the event loop, joined: uvicorn writes a reply's head and its body, each with a system call."""

import asyncio
from typing import Any

# What is larger goes at once, so that the transport says in time when it has too much.
MOST_BYTES = 2**16


class JoinedWrites:
    """A transport that holds what is written until the turn ends; in all else it is the one it was given."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send it soon, after what was written before."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size >= MOST_BYTES:
            self._flush()

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        """Send what is held, then that no more comes."""
        self._flush()
        self._transport.write_eof()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._held:
            data, self._held, self._size = b"".join(self._held), [], 0
            self._transport.write(data)

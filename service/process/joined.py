"""Writes of one turn of the event loop, joined: uvicorn writes a reply's head and its body, each with a system call.

And a time limit for clients that do not read what is written.
"""

import asyncio
import logging
import os
import socket
import struct
from contextlib import suppress
from typing import Any

# What is larger goes at once, so that the transport says in time when it has too much.
MOST_BYTES = 2**16
# What a client has to take within its time, if there is so much.
LEAST_TAKEN_BYTES = 2**20
# Of a client's time: how often is looked at what it has taken.
LOOKS = 10
SECONDS = 30.0
log = logging.getLogger(__name__)


class JoinedWrites:
    """A transport that holds what is written until the turn ends; in all else it is the one it was given.

    It is closed when, with something to send all the time, the client takes less than 1 MiB within `seconds`.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float = SECONDS) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
        self._held: list[bytes] = []
        self._size = 0
        self._written = 0
        # While something may wait to be sent: since when, and how much was sent by then.
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._sent = 0

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
            if self._timer is None:
                self._since, self._sent = self._loop.time(), self._written
                self._wait()
            self._written += len(data)

    def _wait(self) -> None:
        self._timer = self._loop.call_later(self._seconds / LOOKS, self._look)

    def _look(self) -> None:
        """Begin anew where enough was taken, and cut the connection off where it was too little for too long."""
        self._timer = None
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            return
        now, sent = self._loop.time(), self._written - waiting
        if sent - self._sent >= LEAST_TAKEN_BYTES:
            self._since, self._sent = now, sent
        elif now - self._since >= self._seconds:
            log.warning(
                "a client took %d bytes of its reply in %.3g seconds: its connection was cut off",
                sent - self._sent,
                now - self._since,
            )
            self._reset()
            return
        self._wait()

    def _reset(self) -> None:
        """Close the connection, and have the system forget what it still has to send, which may be megabytes."""
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            # The transport's own socket takes no options.
            with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

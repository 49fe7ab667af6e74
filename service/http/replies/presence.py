"""Whether the client of a request still waits for its reply: ASGI tells only who asks, while nothing else is read."""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request
from starlette.types import Message, Receive

from service.threads.runs import AbandonedError

T = TypeVar("T")
# Read ahead of a body while its beginning is worked on, to see whether the client is still there.
MOST_AHEAD_BYTES = 2**18


class Ahead:
    """What is received of a request, in its order; `left` reads ahead, and keeps what comes for who reads the body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: deque[Message] = deque()

    async def __call__(self) -> Message:
        """The next message."""
        return self._kept.popleft() if self._kept else await self._receive()

    async def left(self) -> None:
        """Return when the client has gone; never, where it sends more than is read ahead."""
        if self._kept and self._kept[-1]["type"] == "http.disconnect":
            return
        while sum(len(message.get("body", b"")) for message in self._kept) < MOST_AHEAD_BYTES:
            message = await self._receive()
            self._kept.append(message)
            if message["type"] == "http.disconnect":
                return
        await asyncio.get_running_loop().create_future()


def reading_ahead(request: Request) -> Request:
    """The same request, whose body can be read while `while_there` watches for its client."""
    return Request(request.scope, Ahead(request.receive))


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """The result of work that is long; cancels it and raises AbandonedError as soon as the client goes away.

    The request's body has been read to its end, or the request is one of `reading_ahead`.
    """
    receive = request.receive
    ahead = receive if isinstance(receive, Ahead) else Ahead(receive)
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(ahead.left())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise AbandonedError("expected the client to wait for the result, it went away")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()

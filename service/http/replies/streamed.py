"""Replies that are streamed while they are made, to clients that may go away or fall asleep."""

import asyncio
import logging
from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from service.http.replies.presence import while_there
from service.threads.runs import Run

# Who takes nothing for so long is cut off: a result is held for as long as it is taken.
ASLEEP_SECONDS = 60.0
log = logging.getLogger(__name__)


async def streamed(run: Run, request: Request, media_type: str) -> "Streamed":
    """The reply that gives what a run makes; errors before its first result are raised, and so have their own reply.

    Raises AbandonedError where the client goes away before.
    """
    try:
        return Streamed(run, await while_there(request, run.next()), media_type)
    except BaseException:
        run.end()
        raise


class Streamed(StreamingResponse):
    """Ends its run when all is sent, when the client is gone, or when it takes nothing any more."""

    def __init__(self, run: Run, first: bytes | None, media_type: str) -> None:
        super().__init__(_all(run, first), media_type=media_type)
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, or as much as is taken: a reply that was cut off lacks its last chunk, as clients notice."""

        async def send_soon(message: Message) -> None:
            async with asyncio.timeout(ASLEEP_SECONDS):
                await send(message)

        try:
            await super().__call__(scope, receive, send_soon)
        except TimeoutError:
            log.warning("a client took nothing for %g seconds: its reply was cut off", ASLEEP_SECONDS)
        finally:
            self._run.end()


async def _all(run: Run, first: bytes | None) -> AsyncIterator[bytes]:
    result = first
    while result is not None:
        yield result
        result = await run.next()

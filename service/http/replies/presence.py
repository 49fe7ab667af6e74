"""Whether the client of a request still waits for its reply."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from service.threads.runs import AbandonedError

T = TypeVar("T")
LOOK_SECONDS = 0.5


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """The result of work that is long; cancels it and raises AbandonedError where the client goes away before."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            if await request.is_disconnected():
                raise AbandonedError("expected the client to wait for the result, it went away")
        return task.result()
    finally:
        task.cancel()

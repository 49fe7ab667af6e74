"""Whether the process lives, and whether it may be sent requests."""

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from service.http.replies.reply import JSON, reply
from service.http.schemas.health import StatusReply
from service.http.state import AnyState

router = APIRouter(tags=["health"])
LIVE: dict[int | str, dict[str, Any]] = {200: {"content": {JSON: {"example": {"status": "live"}}}}}


@router.get("/livez", response_model=StatusReply, responses=LIVE, summary="Live")
async def livez() -> Response:
    """Answers while the process lives, however busy it is."""
    return reply({"status": "live"})


@router.get("/readyz", response_model=StatusReply, summary="Ready")
async def readyz(state: AnyState) -> Response:
    """Ready when every collection has caught up with the store; 503 until then, and while Milvus does not answer.

    500 where the database is not where it was opened.
    """
    state.readiness.require()
    if state.settings.embedded:
        # Three looks at files, whatever the threads of searches are at.
        await asyncio.to_thread(state.collections.require_reachable)
    else:
        await state.readers.run(state.collections.require_reachable)
    return reply({"status": "ready"})

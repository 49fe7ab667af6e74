"""Whether the process lives, and whether it may be sent requests."""

import asyncio
import logging
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.errors import HammingwayError
from service.errors import KindOnlyError, NotReadyError
from service.http.access import may_read
from service.http.replies.reply import JSON, reply
from service.http.schemas.health import StatusReply
from service.http.state import AnyState, State

log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])
LIVE: dict[int | str, dict[str, Any]] = {200: {"content": {JSON: {"example": {"status": "live"}}}}}


@router.get("/livez", response_model=StatusReply, responses=LIVE, summary="Live")
async def livez() -> Response:
    """Answers while the process lives, however busy it is."""
    return reply({"status": "live"})


@router.get("/readyz", response_model=StatusReply, summary="Ready")
async def readyz(request: Request, state: AnyState) -> Response:
    """Ready when every collection has caught up with the store; 503 until then, and while Milvus does not answer.

    500 where the database is not where it was opened. Without a key only the kind of error is told.
    """
    try:
        await _require_ready(state)
    except NotReadyError:
        raise
    except HammingwayError as error:
        if await may_read(request):
            raise
        log.error("request %s: %s: %s", request.scope.get("request_id"), error.title, error)
        raise KindOnlyError(error) from None
    return reply({"status": "ready"})


async def _require_ready(state: State) -> None:
    state.readiness.require()
    if state.settings.embedded:
        # Three looks at files, whatever the threads of searches are at.
        await asyncio.to_thread(state.collections.require_reachable)
    else:
        await state.readers.run(state.collections.require_reachable)

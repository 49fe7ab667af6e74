"""Whether the process lives, and whether it may be sent requests."""

from fastapi import APIRouter
from fastapi.responses import Response

from service.errors import NotReadyError
from service.http.reply import reply
from service.http.schemas import StatusReply
from service.http.state import ServiceState

router = APIRouter(tags=["health"])


@router.get("/livez", response_model=StatusReply, summary="Live")
async def livez() -> Response:
    """Answers while the process lives, however busy it is."""
    return reply({"status": "live"})


@router.get("/readyz", response_model=StatusReply, summary="Ready")
async def readyz(state: ServiceState) -> Response:
    """Ready when every collection has caught up with the store; 503 until then."""
    if not state.ready.is_set():
        raise NotReadyError("expected all collections to have caught up with the store, they still do")
    return reply({"status": "ready"})

"""Snapshots: a collection as it is at one moment, as a file to keep."""

import threading
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.background.snapshots import told
from service.http.access import ADMIN
from service.http.layers.time_limit import lift
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests.preferences import APPLIED, RESPOND_ASYNC, prefers
from service.http.routes.jobs import queued
from service.http.schemas.jobs import JobReply
from service.http.schemas.snapshots import SnapshotReply
from service.http.state import ServiceState
from service.threads.runs import AbandonedError

router = APIRouter(prefix="/v1/collections/{collection}", tags=["collections"])
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": JobReply, "description": "The job that takes it, where `Prefer: respond-async` asks for one"}
}
PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async` (RFC 7240): to be answered at once, with a job",
    "schema": {"type": "string"},
    "example": RESPOND_ASYNC,
}


@router.post(
    "/snapshots",
    dependencies=ADMIN,
    response_model=SnapshotReply,
    status_code=201,
    responses=ACCEPTED,
    openapi_extra={"parameters": [PREFER]},
    summary="Take a snapshot",
)
async def post(collection: str, request: Request, state: ServiceState) -> Response:
    """Answered when it is on disk and verified, however long that takes; searches and writes go on meanwhile.

    Where the client goes away before, it ends and nothing is left; two are taken at a time. With `Prefer:
    respond-async` answered at once, with the job whose `result` that reply is; of these one is taken at a time.
    """
    if prefers(request.headers.getlist("prefer"), RESPOND_ASYNC):
        made = queued(await state.writers.run(lambda: state.snapshots.begin(collection)))
        made.headers[APPLIED] = RESPOND_ASYNC
        return made
    lift(request)
    left = threading.Event()
    try:
        taken = await while_there(request, state.snapshots.take(collection, left.is_set))
    except AbandonedError:
        left.set()
        raise
    return reply(told(taken), 201)

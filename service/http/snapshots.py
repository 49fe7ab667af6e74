"""Snapshots: a collection as it is at one moment, as a file to keep."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.http.access import ADMIN
from service.http.reply import reply
from service.http.schemas.snapshots import SnapshotReply
from service.http.state import ServiceState
from service.http.time_limit import lift

router = APIRouter(prefix="/v1/collections/{collection}", tags=["collections"])


@router.post("/snapshots", dependencies=ADMIN, response_model=SnapshotReply, status_code=201, summary="Take a snapshot")
async def post(collection: str, request: Request, state: ServiceState) -> Response:
    """Answered when it is on disk and verified, however long that takes; searches and writes go on meanwhile."""
    lift(request)

    def work() -> Response:
        taken = asdict(state.collections.take_snapshot(collection, state.settings.snapshots))
        return reply({"snapshot": taken.pop("name"), **taken}, 201)

    return await state.writers.run(work)

"""Snapshots: a collection as it is at one moment, as a file to keep."""

from dataclasses import asdict

from fastapi import APIRouter
from fastapi.responses import Response

from service.http.reply import reply
from service.http.schemas.snapshots import SnapshotReply
from service.http.state import ServiceState
from service.store.snapshots import take

router = APIRouter(prefix="/v1/collections/{collection}", tags=["collections"])


@router.post("/snapshots", response_model=SnapshotReply, status_code=201, summary="Take a snapshot")
async def post(collection: str, state: ServiceState) -> Response:
    """Answered when it is on disk and verified; searches and writes go on meanwhile."""

    def work() -> Response:
        taken = asdict(take(state.settings.database, collection, state.settings.snapshots))
        return reply({"snapshot": taken.pop("name"), **taken}, 201)

    return await state.writers.run(work)

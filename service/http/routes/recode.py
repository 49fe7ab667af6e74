"""Re-coding: another hasher for a collection, while it is searched and written."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.background.recoding import State as Recoding
from service.http.access import ADMIN, READ
from service.http.replies.reply import reply
from service.http.requests.body import parse, read, takes
from service.http.routes.jobs import queued
from service.http.schemas.jobs import JobReply
from service.http.schemas.recode import RecodeRequest, RecodingReply, SwitchRequest
from service.http.state import ServiceState, State
from service.store.jobs import Job

BODY = takes(SwitchRequest)
BODY["requestBody"]["required"] = False
router = APIRouter(prefix="/v1/collections/{collection}/recode", tags=["re-coding"])


@router.post(
    "",
    dependencies=ADMIN,
    response_model=JobReply,
    status_code=202,
    openapi_extra=takes(RecodeRequest),
    summary="Re-code a collection",
)
async def post(collection: str, request: Request, state: ServiceState) -> Response:
    """In the background, from the documents that the collection keeps, or from its features for a hasher of the same.

    Searches go by the old codes until the switch, of all items at once. Until it is finished or rolled back each write
    is coded by both hashers, and an item that one of them refuses is refused. 409 where it cannot be done, or is under
    way already.
    """
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(RecodeRequest, body)
        return _queued(state, state.recodings.begin(collection, wanted.hasher, wanted.switch == "automatic"))

    return await state.writers.run(work)


@router.get("", dependencies=READ, response_model=RecodingReply, summary="Get a re-coding")
async def get(collection: str, state: ServiceState) -> Response:
    """From which hasher to which, and how far; 404 for a collection that is not being re-coded."""
    return await state.readers.run(lambda: reply(_told(state.recodings.state(collection))))


@router.post(
    "/switch",
    dependencies=ADMIN,
    response_model=RecodingReply,
    openapi_extra=BODY,
    summary="Switch to the new codes",
)
async def switch(collection: str, request: Request, state: ServiceState) -> Response:
    """Search by the new codes from now on, once all items have one; 409 before. The old ones are kept up, too."""
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(SwitchRequest, body) if body else SwitchRequest()
        return reply(_told(state.recodings.switch(collection, wanted.without_refused)))

    return await state.writers.run(work)


@router.post("/rollback", dependencies=ADMIN, response_model=JobReply, status_code=202, summary="Roll a re-coding back")
async def roll_back(collection: str, state: ServiceState) -> Response:
    """Search by the old codes, with all that was written since, and discard the new ones; also before the switch."""
    return await _ended(state, lambda: state.recodings.roll_back(collection))


@router.post("/finish", dependencies=ADMIN, response_model=JobReply, status_code=202, summary="Finish a re-coding")
async def finish(collection: str, state: ServiceState) -> Response:
    """Discard the old codes, after the switch: there is no way back then, and writes are coded once again."""
    return await _ended(state, lambda: state.recodings.finish(collection))


async def _ended(state: State, end: Callable[[], Job]) -> Response:
    return await state.writers.run(lambda: _queued(state, end()))


def _queued(state: State, job: Job) -> Response:
    state.jobs.wake()
    return queued(job)


def _told(recoding: Recoding) -> dict[str, object]:
    return {
        "collection": recoding.collection,
        "old": recoding.old,
        "new": recoding.new,
        "stage": recoding.stage,
        "switch": "automatic" if recoding.automatic else "manual",
        "job": recoding.job,
    }

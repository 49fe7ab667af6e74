"""Near-duplicates of a whole collection, streamed group by group."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.collections.duplicates import Duplicates, Found
from service.http.access import READ
from service.http.layers.time_limit import lift
from service.http.replies.streamed import streamed
from service.http.requests import ndjson
from service.http.requests.body import parse, read, takes
from service.http.schemas.duplicates import DuplicatesRequest
from service.http.state import ServiceState, State
from service.jobs.watching import Watched
from service.threads.runs import Going

router = APIRouter(prefix="/v1/collections/{collection}", tags=["search"])
CHUNK_BYTES = 2**16
EXAMPLE = (
    '{"group":1,"items":[{"id":"a1","of":null,"distance":0},{"id":"b7","of":"a1","distance":2},'
    '{"id":"a9","of":"b7","distance":1}]}\n'
    '{"group":2,"items":[{"id":"a2","of":null,"distance":0},{"id":"a3","of":"a2","distance":0}]}\n'
)
GROUPS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "NDJSON, one group a line, in the order of the ids that come first in them",
        "content": {ndjson.MEDIA_TYPES[0]: {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}


@router.post(
    "/duplicates",
    dependencies=READ,
    response_class=Response,
    responses=GROUPS,
    openapi_extra=takes(DuplicatesRequest),
    summary="Find duplicates",
)
async def duplicates(collection: str, request: Request, state: ServiceState) -> Response:
    """Groups of items that are connected within `max_distance`, exactly, of all items as of now.

    The smallest id of a group comes first; each next item is the one that is nearest to any listed before it, which is
    its `of`. Nothing comes before all items were compared, which may take minutes; writes and searches go on meanwhile,
    and do not change the reply. Two such requests are answered at a time, others with a 429. A reply that was cut off
    lacks its last chunk; with `after` all is compared again, and only the groups after that one are sent.
    """
    body = await read(request, state.settings.max_body_bytes)
    wanted = await state.readers.run(partial(parse, DuplicatesRequest, body))
    lift(request)
    run = state.runs.start(partial(_lines, state, collection, wanted))
    return await streamed(run, request, ndjson.MEDIA_TYPES[0])


def _lines(state: State, collection: str, wanted: DuplicatesRequest, going: Going) -> Iterator[bytes]:
    """The reply in chunks, which a job tells of until the last."""
    with state.jobs.watch("duplicates", collection, f"within {wanted.max_distance} bits") as job:

        def still() -> None:
            going()
            job.require_going()

        yield from _chunks(_found(state.duplicates, collection, wanted, job, still), wanted, still)


def _found(found_by: Duplicates, collection: str, wanted: DuplicatesRequest, job: Watched, going: Going) -> Found:
    def compared(done: int, total: int) -> None:
        job.expect(total)
        job.reach(done)

    return found_by.find(collection, wanted.max_distance, going, compared)


def _chunks(found: Found, wanted: DuplicatesRequest, going: Going) -> Iterator[bytes]:
    """A group of a million items is not held as text at once."""
    held = bytearray()
    for number in found.after(wanted.after):
        for part in _group(found, number):
            held += part
            if len(held) >= CHUNK_BYTES:
                yield bytes(held)
                held.clear()
                going()
    if held:
        yield bytes(held)


def _group(found: Found, number: int) -> Iterator[bytes]:
    lead = b'{"group":%d,"items":[' % number
    for item in found.members(number):
        yield lead + orjson.dumps({"id": item.id, "of": item.of, "distance": item.distance})
        lead = b","
    yield b"]}\n"

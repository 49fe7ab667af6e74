"""Items into a collection and out of it."""

from collections.abc import Awaitable
from typing import TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.coding.encoding import Going
from service.collections.backend import Deletion
from service.errors import FaultsError, UnknownItemError
from service.filters import parse_filter
from service.http.access import READ, WRITE, client_of
from service.http.imports import import_lines
from service.http.layers.time_limit import lift
from service.http.replies.item_parts import CODE_AND_PAYLOAD, With, told
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests import multipart, ndjson
from service.http.requests.body import parse, read, takes, validate
from service.http.schemas.items import DeleteReply, DeleteRequest, IndexReply, IndexRequest, ItemReply
from service.http.state import ServiceState, State
from service.untold import untold

T = TypeVar("T")
router = APIRouter(prefix="/v1/collections/{collection}", tags=["items"])
BODY = takes(IndexRequest)
BODY["requestBody"]["content"][ndjson.MEDIA_TYPES[0]] = {
    "schema": {"type": "string", "description": "one item, as in the JSON body, a line"},
    "example": '{"id": "a1", "text": "red running shoes"}\n{"id": "a2", "text": "blue suede shoes"}\n',
}
BODY["requestBody"]["content"][multipart.MEDIA_TYPE] = multipart.TAKES_ITEMS


@router.post("/index", dependencies=WRITE, response_model=IndexReply, openapi_extra=BODY, summary="Upsert items")
async def index(collection: str, request: Request, state: ServiceState) -> Response:
    """JSON, multipart: all items of the request, or none. NDJSON: any number; bad lines are listed, the rest indexed.

    What a reply says is indexed is on disk. NDJSON is written in batches: one that breaks off keeps what was written.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ndjson.MEDIA_TYPES:
        return await import_lines(collection, request, state, client_of(request))
    divider, most = multipart.boundary(request), state.settings.max_items
    body = await read(request, state.settings.max_body_bytes)

    def work(going: Going) -> Response:
        if divider is None:
            return upsert(parse(IndexRequest, body, items=most), going)
        value = multipart.items(body, divider, most)
        try:
            return upsert(validate(IndexRequest, value, items=most), going)
        except FaultsError as error:
            raise multipart.items_placed(error, value) from None

    def upsert(wanted: IndexRequest, going: Going) -> Response:
        state.collections.upsert(collection, [item.item() for item in wanted.items], going)
        return reply({"indexed": len(wanted.items)})

    if (await state.readers.run(lambda: state.collections.get(collection))).hasher is None:
        return await _written(state, state.writers.run(lambda: work(untold)))
    encoding = state.encoders.run(client_of(request), work)
    return await _written(state, while_there(request, encoding))


@router.get("/items/{item_id:path}", dependencies=READ, response_model=ItemReply, summary="Get an item")
async def get(collection: str, item_id: str, state: ServiceState, carried: With = CODE_AND_PAYLOAD) -> Response:
    """The item's code and payload, or what `with` asks for."""

    def work() -> Response:
        hasher, item = state.collections.shown(collection, item_id, frozenset(carried))
        return reply(told(item, carried) | {"hasher": hasher})

    return await state.readers.run(work)


@router.delete("/items/{item_id:path}", dependencies=WRITE, response_model=DeleteReply, summary="Delete an item")
async def delete(collection: str, item_id: str, state: ServiceState) -> Response:
    """An id that no item has is a 404."""

    def work() -> Response:
        if not state.collections.delete_items(collection, [item_id]):
            # Not looked for again: another one may have come with that id meanwhile, which is not deleted.
            raise UnknownItemError(f"expected the id of an item of {collection!r}, got {item_id[:80]!r}")
        return reply({"deleted": 1})

    return await _written(state, state.writers.run(work))


@router.post(
    "/delete",
    dependencies=WRITE,
    response_model=DeleteReply,
    openapi_extra=takes(DeleteRequest),
    summary="Delete items",
)
async def delete_many(collection: str, request: Request, state: ServiceState) -> Response:
    """By `ids` or by `filter`, all or none, at one moment; ids that no item has are passed over."""
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response | Deletion:
        wanted = parse(DeleteRequest, body, ids=state.settings.max_items)
        if wanted.filter is not None:
            return state.collections.deletion(collection, parse_filter(wanted.filter))
        return reply({"deleted": state.collections.delete_items(collection, wanted.ids or [])})

    done = await _written(state, state.writers.run(work))
    return done if isinstance(done, Response) else await _delete_matching(collection, done, request, state)


async def _delete_matching(collection: str, deletion: Deletion, request: Request, state: State) -> Response:
    # As long as its client waits: a time-out would leave nothing deleted, however often it is asked for.
    lift(request)
    with state.jobs.watch("delete", collection, "by a filter") as job:

        def step() -> bool | None:
            job.require_going()
            is_found = deletion.step()
            job.reach(deletion.found)
            return is_found or None

        # What a filter takes to evaluate is shared fairly between clients.
        await while_there(request, state.lane.run(client_of(request), step))
        return await _written(state, state.writers.run(lambda: reply({"deleted": job.finish(deletion.finish)})))


async def _written(state: State, work: Awaitable[T]) -> T:
    reply = await work
    # While the reply is on its way, and not before the next search, whose time it would take.
    state.readers.submit(state.collections.follow)
    return reply

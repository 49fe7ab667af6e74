"""Items into a collection and out of it."""

from collections.abc import Awaitable
from contextlib import suppress

from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.errors import HammingwayError
from service.coding.encoding import Going
from service.errors import FaultsError, UnknownItemError
from service.filters import Condition, parse_filter
from service.http.access import READ, WRITE, client_of
from service.http.imports import import_lines
from service.http.replies.item_parts import CODE_AND_PAYLOAD, With, told
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests import multipart, ndjson
from service.http.requests.body import parse, read, takes, validate
from service.http.schemas.items import DeleteReply, DeleteRequest, IndexReply, IndexRequest, ItemReply
from service.http.state import ServiceState, State
from service.untold import untold

router = APIRouter(prefix="/v1/collections/{collection}", tags=["items"])
BODY = takes(IndexRequest)
# To look through so many takes a quarter of a second, to delete them all two.
MANY_ITEMS = 250_000
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
    """By `ids` or by `filter`, all in one write; ids that no item has are passed over."""
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(DeleteRequest, body, ids=state.settings.max_items)
        if wanted.filter is not None:
            return reply({"deleted": _delete_matching(collection, parse_filter(wanted.filter), state)})
        return reply({"deleted": state.collections.delete_items(collection, wanted.ids or [])})

    return await _written(state, state.writers.run(work))


def _delete_matching(collection: str, condition: Condition, state: State) -> int:
    # In one write, during which nothing else can be written: a job of it has to be before. Milvus has several.
    many = state.settings.embedded and state.collections.get(collection).count >= MANY_ITEMS
    with state.jobs.watch("delete", collection, "by a filter") as job:
        if many:
            with suppress(HammingwayError):
                job.note(at_once=True)
        return state.collections.delete_matching(collection, condition, job.reach)


async def _written(state: State, work: Awaitable[Response]) -> Response:
    reply = await work
    # While the reply is on its way, and not before the next search, whose time it would take.
    state.readers.submit(state.collections.follow)
    return reply

"""Items into a collection and out of it."""

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.errors import Fault, FaultsError
from service.http import ndjson
from service.http.body import parse, read, takes
from service.http.reply import fragment, reply
from service.http.schemas.items import DeleteReply, DeleteRequest, IndexReply, IndexRequest, ItemReply
from service.http.state import ServiceState, State

router = APIRouter(prefix="/v1/collections/{collection}", tags=["items"])
BODY = takes(IndexRequest)
BODY["requestBody"]["content"][ndjson.MEDIA_TYPES[0]] = {
    "schema": {"type": "string", "description": "one item, as in the JSON body, a line"},
    "example": '{"id": "a1", "text": "red running shoes"}\n{"id": "a2", "text": "blue suede shoes"}\n',
}


@router.post("/index", response_model=IndexReply, openapi_extra=BODY, summary="Upsert items")
async def index(collection: str, request: Request, state: ServiceState) -> Response:
    """JSON: all items of the request, or none. NDJSON: any number of lines; bad ones are listed, the rest indexed.

    What a reply says is indexed is on disk. NDJSON is written in batches: one that breaks off keeps what was written.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ndjson.MEDIA_TYPES:
        return await _index_lines(collection, request, state)
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(IndexRequest, body, items=state.settings.max_items).items
        state.collections.upsert(collection, [item.item() for item in wanted])
        return reply({"indexed": len(wanted)})

    return await state.writers.run(work)


@router.get("/items/{item_id:path}", response_model=ItemReply, summary="Get an item")
async def get(collection: str, item_id: str, state: ServiceState) -> Response:
    """The item's code and payload."""

    def work() -> Response:
        item = state.collections.item(collection, item_id)
        return reply({"id": item.id, "code": item.code.hex(), "payload": fragment(item.payload)})

    return await state.readers.run(work)


@router.delete("/items/{item_id:path}", response_model=DeleteReply, summary="Delete an item")
async def delete(collection: str, item_id: str, state: ServiceState) -> Response:
    """An id that no item has is a 404."""

    def work() -> Response:
        if not state.collections.delete_items(collection, [item_id]):
            state.collections.item(collection, item_id)
        return reply({"deleted": 1})

    return await state.writers.run(work)


@router.post("/delete", response_model=DeleteReply, openapi_extra=takes(DeleteRequest), summary="Delete items")
async def delete_many(collection: str, request: Request, state: ServiceState) -> Response:
    """All in one write; ids that no item has are passed over."""
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        ids = parse(DeleteRequest, body, ids=state.settings.max_items).ids
        return reply({"deleted": state.collections.delete_items(collection, ids)})

    return await state.writers.run(work)


async def _index_lines(collection: str, request: Request, state: State) -> Response:
    # Looked up first: a body of any length to a collection that is not there is not read.
    await state.readers.run(lambda: state.collections.get(collection))
    longest, most = state.settings.max_line_bytes, state.settings.max_rejected
    indexed = 0
    faults: dict[int, Fault] = {}
    async for batch in ndjson.read_batches(ndjson.read_lines(request.stream(), longest)):
        work = partial(ndjson.index_batch, state.collections, collection, batch, longest)
        more, more_faults = await state.writers.run(work)
        indexed += more
        faults |= more_faults
        if len(faults) >= most:
            outcome = f"stopped at {most} bad lines, with {indexed} items indexed"
            raise FaultsError(outcome, list(faults.values()), indexed)
    if faults and not indexed:
        raise FaultsError("nothing was indexed", list(faults.values()))
    rejected = [
        {"line": number, "status": fault.status, "title": fault.title, "detail": fault.detail}
        for number, fault in faults.items()
    ]
    return reply({"indexed": indexed, "rejected": rejected})

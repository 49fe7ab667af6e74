"""Collections: made, looked at, deleted."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import AfterValidator

from service.collections.collections import Description
from service.http.access import ADMIN, READ
from service.http.replies.reply import JSON, reply
from service.http.requests.body import parse, read, takes
from service.http.schemas.collections import (
    MADE,
    CollectionChange,
    CollectionReply,
    CollectionSettings,
    CollectionsReply,
)
from service.http.schemas.fields import collection_name
from service.http.state import ServiceState

router = APIRouter(prefix="/v1/collections", tags=["collections"])
NewName = Annotated[str, AfterValidator(collection_name), Path(examples=["pydocs"])]


@router.get("", dependencies=READ, response_model=CollectionsReply, summary="List collections")
async def list_all(state: ServiceState) -> Response:
    """All of them, by name."""
    return await state.readers.run(
        lambda: reply({"collections": [_told(collection) for collection in state.collections.all()]})
    )


@router.put(
    "/{collection}",
    dependencies=ADMIN,
    response_model=CollectionReply,
    status_code=201,
    responses={
        200: {"model": CollectionReply, "description": "It was there, with these settings"},
        201: {"description": "It was made", "content": {JSON: {"example": MADE}}},
    },
    openapi_extra=takes(CollectionSettings),
    summary="Create a collection",
)
async def put(collection: NewName, request: Request, state: ServiceState) -> Response:
    """Bound to one hasher version until it is re-coded, or to a code length; what is there with others is a 409."""
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(CollectionSettings, body)
        made, new = state.collections.create(collection, wanted.settings(), state.settings.max_collections)
        return reply(_told(made), 201 if new else 200)

    return await state.writers.run(work)


@router.get("/{collection}", dependencies=READ, response_model=CollectionReply, summary="Get a collection")
async def get(collection: str, state: ServiceState) -> Response:
    """Its settings, and how many items it holds."""
    return await state.readers.run(lambda: reply(_told(state.collections.get(collection))))


@router.patch(
    "/{collection}",
    dependencies=ADMIN,
    response_model=CollectionReply,
    openapi_extra=takes(CollectionChange),
    summary="Change a collection",
)
async def patch(collection: str, request: Request, state: ServiceState) -> Response:
    """How it is searched; an IVF index is built in the background, and until then search is exact."""
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        change = parse(CollectionChange, body)
        return reply(_told(state.collections.change_index(collection, change.index.settings())))

    return await state.writers.run(work)


@router.delete("/{collection}", dependencies=ADMIN, status_code=204, summary="Delete a collection")
async def delete(collection: str, state: ServiceState) -> Response:
    """With all its items, for good."""
    await state.writers.run(lambda: state.collections.delete(collection))
    return Response(status_code=204)


def _told(collection: Description) -> dict[str, Any]:
    told = asdict(collection)
    told["index"] = {name: value for name, value in told["index"].items() if value is not None}
    if told["consistency"] is None:
        del told["consistency"]
    return told

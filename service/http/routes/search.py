"""Search: the nearest items of a collection."""

from fastapi import FastAPI, Request
from fastapi.responses import Response

from service.http.access import READ, client_of
from service.http.requests.body import read, takes
from service.http.requests.multipart import MEDIA_TYPE, TAKES_SEARCH, boundary
from service.http.routes import direct
from service.http.schemas.search import SearchReply, SearchRequest
from service.http.searches import Asked
from service.http.state import ServiceState

BODY = takes(SearchRequest)
BODY["requestBody"]["content"][MEDIA_TYPE] = TAKES_SEARCH


def install(app: FastAPI) -> None:
    """Give the application this route."""
    direct.add(
        app,
        "/v1/collections/{collection}/search",
        search,
        methods=["POST"],
        dependencies=READ,
        response_model=SearchReply,
        openapi_extra=BODY,
        summary="Search",
        tags=["search"],
    )


async def search(collection: str, request: Request, state: ServiceState) -> Response:
    """In the order (distance, id), over every write that was acknowledged before the request.

    Exact, but for a collection with an IVF index, unless `exact` asks for it or a `filter` is given. A query by id does
    not find the item itself. `max_distance` is inclusive; without it the `limit` nearest are given, however far they
    are. `rank` orders the nearest anew: `asymmetric` by the query's logits, `rescored` by the features that were kept.
    """
    divider = boundary(request)
    asked = Asked(collection, await read(request, state.settings.max_body_bytes), divider)
    return await state.searches.run(asked, client_of(request), request)

"""Search: the nearest items of a collection."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.errors import InvalidInputError
from service.http.body import parse, read, takes
from service.http.reply import fragment, reply
from service.http.schemas import SearchReply, SearchRequest
from service.http.state import ServiceState
from service.items import Match

router = APIRouter(prefix="/v1/collections/{collection}", tags=["search"])
DEFAULT_LIMIT = 10


@router.post("/search", response_model=SearchReply, openapi_extra=takes(SearchRequest), summary="Search")
async def search(collection: str, request: Request, state: ServiceState) -> Response:
    """Exact, in the order (distance, id), over every write that was acknowledged before the request.

    A query by id does not find the item itself. `max_distance` is inclusive; without it the `limit` nearest are
    given, however far they are.
    """
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(SearchRequest, body, queries=state.settings.max_queries)
        limit = _limit(wanted, state.settings.max_limit)
        queries = [wanted.query] if wanted.query is not None else wanted.queries or []
        answer = state.collections.search(collection, [query.query() for query in queries], limit, wanted.max_distance)
        results = [[_match(match, answer.bits) for match in matches] for matches in answer.results]
        return reply({"results": results[0] if wanted.query is not None else results, "hasher": answer.hasher})

    return await state.readers.run(work)


def _limit(wanted: SearchRequest, most: int) -> int:
    if wanted.limit is None:
        return most if wanted.max_distance is not None else min(DEFAULT_LIMIT, most)
    if wanted.limit > most:
        raise InvalidInputError(f"limit: expected at most {most}, got {wanted.limit}")
    return wanted.limit


def _match(match: Match, bits: int) -> dict[str, object]:
    similarity = round(1 - match.distance / bits, 4)
    return {
        "id": match.id,
        "distance": match.distance,
        "similarity": similarity,
        "payload": fragment(match.payload),
    }

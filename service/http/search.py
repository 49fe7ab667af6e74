"""Search: the nearest items of a collection."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.errors import InvalidInputError
from service.filters import parse_filter
from service.http.body import parse, read, takes
from service.http.reply import fragment, reply
from service.http.schemas import SearchReply, SearchRequest
from service.http.state import ServiceState
from service.items import Match, Wanted

router = APIRouter(prefix="/v1/collections/{collection}", tags=["search"])
DEFAULT_LIMIT = 10


@router.post("/search", response_model=SearchReply, openapi_extra=takes(SearchRequest), summary="Search")
async def search(collection: str, request: Request, state: ServiceState) -> Response:
    """In the order (distance, id), over every write that was acknowledged before the request.

    Exact, but for a collection with an IVF index, unless `exact` asks for it or a `filter` is given. A query by id does
    not find the item itself. `max_distance` is inclusive; without it the `limit` nearest are given, however far they
    are. `rank` orders the nearest anew: `asymmetric` by the query's logits, `rescored` by the features that were kept.
    """
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(SearchRequest, body, queries=state.settings.max_queries)
        queries = [wanted.query] if wanted.query is not None else wanted.queries or []
        answer = state.collections.search(
            collection, [query.query() for query in queries], _wanted(wanted, state.settings.max_limit)
        )
        results = [[_match(match, answer.bits) for match in matches] for matches in answer.results]
        return reply({"results": results[0] if wanted.query is not None else results, "hasher": answer.hasher})

    return await state.readers.run(work)


def _limit(wanted: SearchRequest, most: int) -> int:
    if wanted.limit is None:
        return most if wanted.max_distance is not None else min(DEFAULT_LIMIT, most)
    if wanted.limit > most:
        raise InvalidInputError(f"limit: expected at most {most}, got {wanted.limit}")
    return wanted.limit


def _wanted(request: SearchRequest, most: int) -> Wanted:
    candidates = request.candidates
    if candidates is not None and candidates > most:
        raise InvalidInputError(f"candidates: expected at most {most}, got {candidates}")
    if candidates is not None and request.rank == "hamming":
        raise InvalidInputError("candidates: expected them with rank asymmetric or rescored, got them with hamming")
    condition = None if request.filter is None else parse_filter(request.filter)
    return Wanted(_limit(request, most), request.max_distance, condition, request.rank, candidates, request.exact)


def _match(match: Match, bits: int) -> dict[str, object]:
    similarity = round(1 - match.distance / bits, 4)
    told: dict[str, object] = {
        "id": match.id,
        "distance": match.distance,
        "similarity": similarity,
        "payload": fragment(match.payload),
    }
    if match.score is not None:
        told["score"] = match.score
    return told

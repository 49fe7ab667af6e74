"""Comparing: what a distance between two documents, codes or items is made of."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.coding.comparing import Side
from service.coding.encoding import Going
from service.http.access import READ, client_of
from service.http.replies.matches import similarity
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests.body import parse, read, takes
from service.http.schemas.compare import CompareReply, CompareRequest
from service.http.state import ServiceState

router = APIRouter(prefix="/v1/collections/{collection}", tags=["search"])


@router.post(
    "/compare",
    dependencies=READ,
    response_model=CompareReply,
    openapi_extra=takes(CompareRequest),
    summary="Compare two",
)
async def compare(collection: str, request: Request, state: ServiceState) -> Response:
    """Distance, similarity, the bits that differ, and how sure the encoder was of these on either side."""
    body = await read(request, state.settings.max_body_bytes)

    def work(going: Going) -> Response:
        wanted = parse(CompareRequest, body)
        hasher, found = state.collections.compare(collection, wanted.a.query(), wanted.b.query(), going)
        return reply(
            {
                "distance": found.distance,
                "similarity": similarity(found.distance, found.bits),
                "bits": found.bits,
                "differing": found.differing,
                "a": _side(found.a),
                "b": _side(found.b),
                "hasher": hasher,
            }
        )

    return await while_there(request, state.encoders.run(client_of(request), work))


def _side(side: Side) -> dict[str, object]:
    told: dict[str, object] = {"code": side.code.hex()}
    if side.magnitudes is not None:
        told["magnitudes"] = side.magnitudes
    return told

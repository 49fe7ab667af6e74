"""Documents to codes, without a collection."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.codes import pack
from service.coding.encoding import Going, logits
from service.http.access import READ, client_of
from service.http.replies.code_formats import write_code
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests.body import parse, read, takes
from service.http.schemas.encode import EncodeReply, EncodeRequest
from service.http.state import ServiceState

router = APIRouter(prefix="/v1", tags=["hashers"])


@router.post(
    "/encode",
    dependencies=READ,
    response_model=EncodeReply,
    openapi_extra=takes(EncodeRequest),
    summary="Encode documents",
)
async def encode(request: Request, state: ServiceState) -> Response:
    """Codes, and on request logits, in the order of the inputs: all of them, or none where one cannot be used."""
    body = await read(request, state.settings.max_body_bytes)

    def work(going: Going) -> Response:
        wanted = parse(EncodeRequest, body, inputs=state.settings.max_items)
        hasher = state.hashers.get(wanted.hasher)
        documents = [given.document() for given in wanted.inputs]
        state.hashers.budget.require(documents)
        made = logits(hasher, documents, "inputs", going=going)
        codes = [write_code(code, wanted.format) for code in pack(made)]
        more = {"logits": made} if wanted.logits else {}
        return reply({"hasher": hasher.reference, "bits": hasher.bits, "codes": codes, **more})

    return await while_there(request, state.encoders.run(client_of(request), work))

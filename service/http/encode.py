"""Documents to codes, without a collection."""

import base64

from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.codes import Codes, pack, to_hex, unpack
from service.coding import logits
from service.http.body import parse, read, takes
from service.http.reply import reply
from service.http.schemas.encode import EncodeReply, EncodeRequest
from service.http.state import ServiceState

router = APIRouter(prefix="/v1", tags=["hashers"])


@router.post("/encode", response_model=EncodeReply, openapi_extra=takes(EncodeRequest), summary="Encode documents")
async def encode(request: Request, state: ServiceState) -> Response:
    """Codes, and on request logits, in the order of the inputs: all of them, or none where one cannot be used."""
    body = await read(request, state.settings.max_body_bytes)

    def work() -> Response:
        wanted = parse(EncodeRequest, body, inputs=state.settings.max_items)
        hasher = state.hashers.get(wanted.hasher)
        made = logits(hasher, [given.document() for given in wanted.inputs], "inputs")
        codes = [_write(code, wanted.format) for code in pack(made)]
        more = {"logits": made} if wanted.logits else {}
        return reply({"hasher": hasher.reference, "bits": hasher.bits, "codes": codes, **more})

    return await state.readers.run(work)


def _write(code: Codes, form: str) -> str:
    match form:
        case "base64":
            return base64.b64encode(code.tobytes()).decode()
        case "bits":
            return "".join(map(str, unpack(code[None])[0].tolist()))
        case _:
            return to_hex(code)

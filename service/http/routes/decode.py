"""Codes to what the decoder remembers of them: vectors, images, or for texts the nearest that are indexed."""

import base64
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from models.codes import Codes
from models.errors import InvalidInputError
from models.features.pixels import PixelFeatures
from models.hasher import Hasher
from service.coding.encoding import Going
from service.collections.collections import Collections
from service.errors import Fault, FaultsError, TooLargeError
from service.http.access import READ, client_of
from service.http.replies.code_formats import Format, read_code
from service.http.replies.matches import matches_told, require_bounded
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests.body import parse, read, takes
from service.http.schemas.decode import DecodeReply, DecodeRequest
from service.http.state import ServiceState
from service.items import Query, Wanted
from service.settings import Settings

router = APIRouter(prefix="/v1", tags=["hashers"])
DEFAULT_LIMIT = 10


@router.post(
    "/decode", dependencies=READ, response_model=DecodeReply, openapi_extra=takes(DecodeRequest), summary="Decode codes"
)
async def decode(request: Request, state: ServiceState) -> Response:
    """What the decoder remembers, in the order of the codes: all of them, or none where one cannot be used.

    Vectors, and images as PNG, are the decoder's own. No text can be made of features: for a hasher of texts, name a
    `collection` that it codes, and the items nearest to each code by Hamming distance are given.
    """
    body = await read(request, state.settings.max_body_bytes)

    def work(going: Going) -> Response:
        wanted = parse(DecodeRequest, body, codes=state.settings.max_items)
        hasher = state.hashers.get(wanted.hasher)
        codes = _codes(wanted.codes, hasher.bits, wanted.format)
        if hasher.features.modality == "text":
            documents = _nearest(state.collections, state.settings, hasher, codes, wanted)
        else:
            documents = _documents(hasher, codes, wanted, going)
        return reply({"hasher": hasher.reference, "documents": documents})

    return await while_there(request, state.encoders.run(client_of(request), work))


def _codes(texts: Sequence[str], bits: int, form: Format) -> Codes:
    packed, faults = [], []
    for place, text in enumerate(texts):
        try:
            packed.append(read_code(text, bits, form))
        except InvalidInputError as error:
            faults.append(Fault(f"codes/{place}", error.status, error.title, str(error)))
    if faults:
        raise FaultsError("nothing was decoded", faults)
    return np.frombuffer(b"".join(packed), np.uint8).reshape(-1, bits // 8)


def _documents(hasher: Hasher, codes: Codes, wanted: DecodeRequest, going: Going) -> list[dict[str, object]]:
    for name in ("collection", "limit"):
        if getattr(wanted, name) is not None:
            raise InvalidInputError(f"expected it for a hasher of texts only, got it for {hasher.reference}", name)
    features = hasher.features
    found: list[dict[str, object]] = []
    for place, code in enumerate(codes):
        going()
        try:
            (row,) = hasher.decode(code[None])
        except InvalidInputError as error:
            # A graph that gives no numbers for it.
            fault = Fault(f"codes/{place}", error.status, error.title, str(error))
            raise FaultsError("nothing was decoded", [fault]) from None
        if isinstance(features, PixelFeatures):
            found.append({"image": base64.b64encode(features.png(row)).decode()})
        else:
            found.append({"vector": row})
    return found


def _nearest(
    collections: Collections, settings: Settings, hasher: Hasher, codes: Codes, wanted: DecodeRequest
) -> list[dict[str, object]]:
    # As many as a search of so many queries may find.
    allowed = min(settings.max_limit, max(1, settings.max_matches // max(1, len(codes))))
    name, limit = wanted.collection, wanted.limit or min(DEFAULT_LIMIT, allowed)
    if name is None:
        raise InvalidInputError(
            f"expected the name of a collection that {hasher.reference} codes, whose nearest texts are given, as a "
            "text cannot be made of a code, got none",
            "collection",
        )
    if limit > settings.max_limit:
        raise InvalidInputError(f"expected at most {settings.max_limit}, got {limit}", "limit")
    if limit > allowed:
        raise InvalidInputError(f"expected at most {allowed} for so many codes, got {limit}", "limit")
    if len(codes) > settings.max_queries:
        raise TooLargeError(f"expected at most {settings.max_queries} codes for texts, got {len(codes)}")
    # Asked first, as codes of another length could not be searched; and again of the answer, which is of one moment.
    _require(hasher, name, collections.get(name).hasher)
    answer = collections.search(name, [Query("code", code.tobytes().hex()) for code in codes], Wanted(limit))
    _require(hasher, name, answer.hasher)
    require_bounded(answer.results)
    return [{"nearest": matches_told(matches, answer.bits)} for matches in answer.results]


def _require(hasher: Hasher, name: str, bound: str | None) -> None:
    if bound != hasher.reference:
        came = f"one of {bound}" if bound else "one without a hasher"
        raise InvalidInputError(f"expected one that {hasher.reference} codes, got {name[:80]!r}, {came}", "collection")

"""Bodies: read with a bound, parsed strictly, described in the API document."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError

from models.errors import InvalidInputError
from service.errors import Fault, FaultsError, InvalidJsonError, TooLargeError
from service.http.layers.held import HeldBodies
from service.http.replies.problems import describe
from service.http.replies.reply import JSON
from service.http.requests.inflating import Bound, inflated

M = TypeVar("M", bound=BaseModel)


async def read(request: Request, max_bytes: int) -> bytes:
    """The whole body, inflated; raises TooLargeError as soon as it is known to be more than `max_bytes`.

    Raises BusyError where the bodies of all requests are too much together.
    """
    held: HeldBodies = request.state.service.held
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLargeError(f"expected a body of at most {max_bytes} bytes, got {declared}")
    body = bytearray()
    async for chunk in inflated(request, Bound(max_bytes)):
        held.add(request.scope, len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"expected a body of at most {max_bytes} bytes, got more")
    return bytes(body)


def parse_json(text: bytes) -> Any:
    """The value of a JSON text, a byte order mark before it or not; raises InvalidJsonError that says where."""
    # As Windows' editors and shells write it, and RFC 8259 lets a reader pass over it.
    text = text.removeprefix(BOM_UTF8)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not text.strip():
            raise InvalidJsonError("expected JSON, got nothing") from None
        raise InvalidJsonError(f"expected JSON: {error}{_hint(text)}") from None


def parse(model: type[M], body: bytes, **most: int) -> M:
    """A request's model; raises InvalidJsonError, or FaultsError that names the parts that cannot be used.

    `most` bounds the lists of the request by name. They are counted before anything in them is looked at: what is
    wrong with each of a million items is as long as the million.
    """
    return validate(model, parse_json(body), **most)


def validate(model: type[M], value: Any, **most: int) -> M:
    """A request's model from what its body says, as `parse`."""
    if isinstance(value, dict):
        for noun, number in most.items():
            given = value.get(noun)
            if isinstance(given, list) and len(given) > number:
                raise TooLargeError(f"expected at most {number} {noun} in one request, got {len(given)}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise FaultsError(None, [_fault(each) for each in error.errors(include_url=False)]) from None


def _fault(error: Mapping[str, Any]) -> Fault:
    told = describe(error)
    return Fault(told.where, InvalidInputError.status, InvalidInputError.title, told.detail)


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The API document's entry for a body that is read by `parse`; `openapi.REQUESTS` lists the models."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


# What begins so is never JSON, and what it is instead.
_BEGINNINGS = {
    b"--": "multipart is taken to index images and to search by one, with its Content-Type",
    b"\x1f\x8b": "gzip needs its Content-Encoding",
    b"\x28\xb5\x2f\xfd": "zstd needs its Content-Encoding",
    BOM_UTF16_LE: "UTF-16 is not JSON, UTF-8 is",
    BOM_UTF16_BE: "UTF-16 is not JSON, UTF-8 is",
}


def _hint(text: bytes) -> str:
    """What was meant, where that shows."""
    for beginning, told in _BEGINNINGS.items():
        if text.startswith(beginning):
            return f" ({told})"
    if b"NaN" in text or b"Infinity" in text:
        return " (NaN and Infinity are not JSON: vectors hold finite numbers)"
    return ""

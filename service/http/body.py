"""Bodies: read with a bound, parsed strictly, described in the API document."""

from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel

from service.errors import InvalidJsonError, TooLargeError

M = TypeVar("M", bound=BaseModel)
JSON = "application/json"


async def read(request: Request, max_bytes: int) -> bytes:
    """The whole body; raises TooLargeError as soon as it is known to be more than `max_bytes`."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLargeError(f"expected a body of at most {max_bytes} bytes, got {declared}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"expected a body of at most {max_bytes} bytes, got more")
    return bytes(body)


def parse_json(text: bytes) -> Any:
    """The value of a JSON text; raises InvalidJsonError that says where it breaks."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not text.strip():
            raise InvalidJsonError("expected JSON, got nothing") from None
        number = " (NaN and Infinity are not JSON: vectors hold finite numbers)" if _not_finite(text) else ""
        raise InvalidJsonError(f"expected JSON: {error}{number}") from None


def parse(model: type[M], body: bytes) -> M:
    """A request's model; raises InvalidJsonError, or pydantic's ValidationError."""
    return model.model_validate(parse_json(body))


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The API document's entry for a body that is read by `parse`; `openapi.REQUESTS` lists the models."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _not_finite(text: bytes) -> bool:
    return b"NaN" in text or b"Infinity" in text


def at_most(most: int, number: int, noun: str) -> None:
    """Raise TooLargeError where a request has more of something than is allowed."""
    if number > most:
        raise TooLargeError(f"expected at most {most} {noun} in one request, got {number}")

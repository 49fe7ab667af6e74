"""Fields that several shapes have: ids, names, images, vectors, payloads, each checked where it comes in."""

import binascii
import re
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from models.versions import NAME, NAME_RULE
from service.described import kind
from service.items import LONGEST_ID_BYTES

ID = f"1 to {LONGEST_ID_BYTES} bytes of UTF-8 without control characters, neither `.` nor `..`"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# U+0085 among them: line ends to some readers. Ids with one may be stored from before they were refused.
_MORE_CONTROL = re.compile(r"[\x80-\x9f]")


def _from_base64(value: Any) -> bytes:
    # JSON has no bytes: they came as a part of a multipart body.
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected an image as base64, got {kind(value)}")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected an image as base64, got {len(value)} characters that are not: {error}") from None


def _id(value: str) -> str:
    length = len(value.encode())
    if not 1 <= length <= LONGEST_ID_BYTES:
        raise ValueError(f"expected an id of 1 to {LONGEST_ID_BYTES} bytes, got {length}")
    # Clients take dots for a way upwards: `DELETE .../items/..` would delete the collection.
    if value in (".", "..") or _CONTROL.search(value):
        raise ValueError(f"expected an id that is neither . nor .. and has no control characters, got {value[:80]!r}")
    return value


def _new_id(value: str) -> str:
    if _MORE_CONTROL.search(value):
        raise ValueError(f"expected an id that has no control characters, got {value[:80]!r}")
    return value


def _to_json(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {kind(value)}")
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"expected a payload that is not nested that deeply: {error}") from None


def collection_name(value: str) -> str:
    """A name that may be given to a collection."""
    if not NAME.fullmatch(value):
        raise ValueError(f"expected {NAME_RULE}, got {value[:80]!r}")
    return value


Id = Annotated[str, AfterValidator(_id), Field(min_length=1, examples=["a1"], description=ID)]
NewId = Annotated[Id, AfterValidator(_new_id)]
Image = Annotated[bytes, BeforeValidator(_from_base64), WithJsonSchema({"type": "string", "format": "base64"})]
# A vector of a million wrong numbers is wrong at the first.
Vector = Annotated[list[float], Field(fail_fast=True)]
Payload = Annotated[dict[str, Any], Field(examples=[{"price": 30}])]

GivenPayload = Annotated[
    bytes, BeforeValidator(_to_json), WithJsonSchema({"type": "object", "examples": [{"price": 30}]})
]


class Strict(BaseModel):
    """A part of a request: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)

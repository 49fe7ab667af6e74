"""Fields that several shapes have: ids, names, images, vectors, payloads, each checked where it comes in."""

import binascii
import re
from collections.abc import Iterator
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from models.versions import NAME, NAME_RULE
from service.described import kind
from service.items import LONGEST_ID_BYTES

# As many as are listed of a request.
MOST_UNKNOWN = 20
# Of base64, decoded in one step: whole groups of 4.
BASE64_CHARACTERS = 2**22
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
        if len(value) <= BASE64_CHARACTERS:
            return binascii.a2b_base64(value, strict_mode=True)
        return b"".join(_decoded(value))
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected an image as base64, got {len(value)} characters that are not: {error}") from None


def _decoded(text: str) -> Iterator[bytes]:
    """Base64 in steps, as the lock is held by each; raises ValueError where it is none."""
    for start in range(0, len(text), BASE64_CHARACTERS):
        step = text[start : start + BASE64_CHARACTERS]
        decoded = binascii.a2b_base64(step, strict_mode=True)
        if start + len(step) < len(text) and len(decoded) * 4 != len(step) * 3:
            raise binascii.Error("Excess data after padding")
        yield decoded


def _as_array(value: list[float]) -> NDArray[np.float64]:
    # A list takes four times as much, and is made into an array anyway.
    return np.array(value, np.float64)


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
    # As a multipart body has been taken apart.
    if isinstance(value, bytes):
        return value
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
Vector = Annotated[list[float], Field(fail_fast=True), AfterValidator(_as_array)]
Payload = Annotated[dict[str, Any], Field(examples=[{"price": 30}])]

GivenPayload = Annotated[
    bytes, BeforeValidator(_to_json), WithJsonSchema({"type": "object", "examples": [{"price": 30}]})
]


@runtime_checkable
class LeavesOut(Protocol):
    """Counts faults that validation does not find."""

    def leave_out(self, count: int) -> None:
        """Count so many more."""


class Strict(BaseModel):
    """A part of a request: nothing unknown, nothing converted.

    Where there are many unknown members, pydantic is given the first of them only, as it takes 1.6 KB for each. The
    context of the validation, a `LeavesOut`, counts the others.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, value: Any, info: ValidationInfo) -> Any:
        if type(value) is not dict or len(value) <= MOST_UNKNOWN:
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = [name for name in value if name not in known]
        kept = {name: each for name, each in value.items() if name in known}
        if isinstance(info.context, LeavesOut):
            info.context.leave_out(max(0, len(unknown) - MOST_UNKNOWN))
        return kept | {name: value[name] for name in unknown[:MOST_UNKNOWN]}

"""What callers give as what is sent: images as bytes become base64, NumPy arrays become lists."""

import base64
import math
from collections.abc import Mapping
from typing import Any

import orjson

from models.errors import InvalidInputError

NULL = b"null"


def to_json(value: Any) -> bytes:
    """A JSON text; raises InvalidInputError for what JSON has no place for, as NaN and infinity."""
    try:
        content = orjson.dumps(value, default=_to_text, option=orjson.OPT_SERIALIZE_NUMPY)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise InvalidInputError(
            f"expected what JSON can say, and bytes of images, got something else: {error}"
        ) from None
    # What they become; most have none, and need not be looked through.
    if NULL in content:
        _require_finite(value, "")
    return content


def _require_finite(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for name, each in value.items():
            _require_finite(each, f"{where}/{name}")
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            _require_finite(each, f"{where}/{place}")
    elif hasattr(value, "dtype"):
        _require_finite(value.tolist(), where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(f"expected a finite number, got {value}", where.removeprefix("/") or "body")


def _to_text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)

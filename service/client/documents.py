"""What callers give as what is sent: images as bytes become base64, NumPy arrays become lists."""

import base64
from typing import Any

import orjson

from models.errors import InvalidInputError


def to_json(value: Any) -> bytes:
    """A JSON text; raises InvalidInputError for what JSON has no place for."""
    try:
        return orjson.dumps(value, default=_to_text, option=orjson.OPT_SERIALIZE_NUMPY)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise InvalidInputError(
            f"expected what JSON can say, and bytes of images, got something else: {error}"
        ) from None


def _to_text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)

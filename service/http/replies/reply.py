"""Replies, rendered in the thread that made them."""

from typing import Any

import orjson
from fastapi.responses import Response

JSON = "application/json"


def reply(content: Any, status: int = 200) -> Response:
    """A JSON reply; NumPy arrays and `orjson.Fragment`s may be in it."""
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), status, media_type=JSON)


def fragment(payload: bytes | None) -> orjson.Fragment:
    """A stored payload as it stands, without parsing it again; an item that was given none has an empty one."""
    return orjson.Fragment(payload or b"{}")

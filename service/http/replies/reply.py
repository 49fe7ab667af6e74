"""Replies, rendered in the thread that made them."""

import threading
from collections.abc import Callable
from typing import Any

import orjson
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

JSON = "application/json"
# Larger replies are counted from when they are made until they are sent: several may wait for the event loop.
COUNTED_BYTES = 2**16
# Of a request whose reply is counted already: what counts it.
CHARGE = "hammingway.reply_charge"
# Counts so many bytes until what it returns is gone or released; raises BusyError where they are too many.
Count = Callable[[int], object]
_thread = threading.local()


def count_in(count: Count) -> None:
    """Have the large replies that this thread makes counted."""
    _thread.count = count


class CountedResponse(Response):
    """A reply that is counted until it is sent."""

    charge: object

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and say that it is counted."""
        scope[CHARGE] = self.charge
        await super().__call__(scope, receive, send)


def reply(content: Any, status: int = 200) -> Response:
    """A JSON reply; NumPy arrays and `orjson.Fragment`s may be in it. Raises BusyError where too many are not sent."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    count: Count | None = getattr(_thread, "count", None)
    if count is None or len(body) <= COUNTED_BYTES:
        return Response(body, status, media_type=JSON)
    charge = count(len(body))
    counted = CountedResponse(body, status, media_type=JSON)
    counted.charge = charge
    return counted


def fragment(payload: bytes | None) -> orjson.Fragment:
    """A stored payload as it stands, without parsing it again; an item that was given none has an empty one."""
    return orjson.Fragment(payload or b"{}")

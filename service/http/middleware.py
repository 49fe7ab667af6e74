"""A request id for every request: the caller's own, or a new one; in the reply, in problem details and in the log."""

import re
import uuid
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import logs

HEADER = "X-Request-ID"
_NAME = HEADER.lower().encode()
_LOW_BITS = 64
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestId:
    """Pure ASGI, so that a streamed body passes through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Half random and half counted: as good as drawn each time, at a tenth of the time.
        self._numbers = count(uuid.uuid4().int >> _LOW_BITS << _LOW_BITS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the id in the scope, and send it with the reply's headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _NAME), b"")
        request_id = given.decode() if _SANE.fullmatch(given) else f"{next(self._numbers):032x}"
        added = (_NAME, request_id.encode())
        scope["request_id"] = request_id
        logs.request_id.set(request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*(pair for pair in message.get("headers", ()) if pair[0] != _NAME), added]
            await send(message)

        await self._app(scope, receive, send_with_id)

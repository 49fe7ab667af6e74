"""A request id for every request: the caller's own, or a new one; in the reply, in problem details and in the log."""

import re
import uuid
from collections.abc import MutableMapping
from itertools import count
from typing import Any

from service.telemetry import logs

HEADER = "X-Request-ID"
NAME = HEADER.lower().encode()
_LOW_BITS = 64
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Half random and half counted: as good as drawn each time, at a tenth of the time."""

    def __init__(self) -> None:
        self._numbers = count(uuid.uuid4().int >> _LOW_BITS << _LOW_BITS)

    def note(self, scope: MutableMapping[str, Any]) -> str:
        """The id of a request, noted in its ASGI scope and for the log."""
        # One whose body turns out to be none has it from the server by then.
        request_id: str = scope.get("request_id") or self._request_id(scope)
        scope["request_id"] = request_id
        logs.request_id.set(request_id)
        return request_id

    def _request_id(self, scope: MutableMapping[str, Any]) -> str:
        given: bytes = next((value for name, value in scope["headers"] if name == NAME), b"")
        return given.decode() if _SANE.fullmatch(given) else f"{next(self._numbers):032x}"

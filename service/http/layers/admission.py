"""What is refused before it is routed: paths that name nothing, and requests that web pages of others made."""

import re
from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import HammingwayError
from service.errors import UnknownPathError
from service.http.layers.web_pages import require_own
from service.http.replies.problems import answer

# Health checks ask by whatever name they find the service.
PROBES = ("/livez", "/readyz")
# After it stands an id, in which a slash may be.
BEFORE_ID = b"/items/"
LONGEST_ECHO = 200
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Admission:
    """Pure ASGI: raises nothing, and answers what is refused with a problem detail."""

    def __init__(self, app: ASGIApp, with_keys: bool, by_any_name: bool) -> None:
        """`by_any_name`: whether a service without keys answers by names that are not this machine's own."""
        self._app = app
        self._with_keys = with_keys
        self._by_any_name = by_any_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        try:
            if not self._with_keys and scope["path"] not in PROBES:
                require_own(scope, self._by_any_name)
            require_path(scope)
        except HammingwayError as error:
            await answer(Request(scope), error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def require_path(scope: Scope) -> None:
    """Raise UnknownPathError for a path that cannot be a name, or that is another name for something.

    The server decodes what is not UTF-8 as U+FFFD, Starlette's routes match a line break at the end of a path, and a
    slash that is a part of a collection's name would be taken for a step in the path.
    """
    raw: bytes = scope["raw_path"]
    if b"%" not in raw:
        return
    text = unquote_to_bytes(raw)
    if _NO_ESCAPE.search(raw):
        expected = "with two hex digits after each %"
    elif not _is_utf8(text):
        expected = "in UTF-8"
    elif _CONTROL.search(text):
        expected = "without control characters"
    elif _SLASH.search(raw.partition(BEFORE_ID)[0]):
        expected = "with slashes in no other name than the id of an item"
    else:
        return
    raise UnknownPathError(f"expected a path {expected}, got {scope['method']} {raw[:LONGEST_ECHO].decode('ascii')}")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True

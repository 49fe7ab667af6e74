"""Headers that every reply carries, so that a browser does nothing with it but show it to who asked for it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A reply that says something else of one of these keeps it: the page for people needs scripts.
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
NOT_STORED = (b"cache-control", b"no-store")
# The parts of the page for people are the same for everyone, and belong to the version that is installed.
PUBLIC = "/static-offline-docs/"


class SecurityHeaders:
    """Pure ASGI, so that a streamed body passes through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add to a reply's headers those that it has not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = ALWAYS if scope["path"].startswith(PUBLIC) else (*ALWAYS, NOT_STORED)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                there = {name for name, _ in headers}
                message["headers"] = [*headers, *(pair for pair in added if pair[0] not in there)]
            await send(message)

        await self._app(scope, receive, send_with_headers)

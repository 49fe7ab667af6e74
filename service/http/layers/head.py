"""HEAD, answered as GET is, without the content: a general-purpose server has to know both (RFC 9110, section 9.1)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What the router finds out, and what counts and traces a request wants to know.
FOUND = ("route", "endpoint", "path_params")


class Head:
    """Pure ASGI: the same headers as those of GET, Content-Length included (section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the request answered as a GET; further out it stays the HEAD that it is."""
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_headers(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        asked = dict(scope, method="GET")
        try:
            await self._app(asked, receive, send_headers)
        finally:
            scope.update((name, asked[name]) for name in FOUND if name in asked)

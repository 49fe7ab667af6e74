"""A span for each request, by OpenTelemetry's conventions for HTTP; never what was sent, nor who sent it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.layers.measuring import METHODS
from service.telemetry.traces import Traces, failed

# Asked every few seconds by what looks after the service.
UNTRACED = {"/livez", "/readyz", "/metrics"}
CONTEXT = (b"traceparent", b"tracestate")
# In bytes. W3C asks for 512; OpenTelemetry takes a time that grows with the square of the blanks in a longer one.
LONGEST_CONTEXT = 1024


class Trace:
    """Pure ASGI: named by the route's template, as paths are anything."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request within its span."""
        if scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        headers = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in CONTEXT and len(value) <= LONGEST_CONTEXT
        }
        noted = _Noted(send)
        with self._traces.request(method, headers, _told(scope, method)) as span:
            try:
                await self._app(scope, receive, noted)
            finally:
                route = getattr(scope.get("route"), "path_format", None)
                if route is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", noted.status)
                if noted.status >= 500:
                    failed(span, str(noted.status))


class _Noted:
    """Passes on what an application sends; `status` is 500 until a reply begins, as one that raises has none."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _told(scope: Scope, method: str) -> dict[str, object]:
    """What is known when a request begins; its query is left out, as a filter in it is content."""
    told: dict[str, object] = {
        "http.request.method": method,
        "url.scheme": scope["scheme"],
        "url.path": scope["path"],
        "network.protocol.version": scope["http_version"],
        "http.response.header.x-request-id": [scope["request_id"]],
    }
    if scope.get("server"):
        told["server.address"], told["server.port"] = scope["server"]
    return told

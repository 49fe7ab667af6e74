"""What every request and its reply get, whatever answers it: an id, headers of safety, a place in the metrics."""

from time import perf_counter

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BusyError
from service.http.layers import held, time_limit
from service.http.layers.headers import completed
from service.http.layers.held import HeldBytes
from service.http.layers.measuring import METHODS, NO_ROUTE, Metrics
from service.http.layers.request_ids import NAME, RequestIds
from service.http.layers.sending import Sending
from service.http.replies.problems import answer


class Frame:
    """Pure ASGI, of HTTP alone: the outermost layer of the application.

    One for all that is to be done, as each layer that looks at the reply took 4 to 8 microseconds of every request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, held: HeldBytes, unsent: HeldBytes) -> None:
        """`held` counts bodies and what they become, `unsent` replies until they are sent."""
        self._app = app
        self._metrics = metrics
        self._held = held
        self._unsent = unsent
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, then count it by its route's template, never by its path."""
        started = perf_counter()
        request_id = (NAME, self._ids.note(scope).encode())
        # What raises without a reply is answered so by the server.
        status = 500
        held.begin(scope, self._held)
        sending = Sending(send, self._unsent, scope)

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                time_limit.stop(scope)
                # Before the client knows, who may send the next one at once.
                held.release(scope)
                message["headers"] = completed([*message.get("headers", ()), request_id], scope["path"])
                sending.start(message)
            else:
                await sending.body(message)

        # Not one function that refers to itself: all that it holds would stay until Python looks for garbage.
        async def send_framed(message: Message) -> None:
            try:
                await send_counted(message)
            except BusyError as error:
                await answer(Request(scope), error)(scope, receive, send_counted)

        try:
            await self._app(scope, receive, send_framed)
        except BaseException:
            # A thread may be at work for it.
            held.leave(scope)
            raise
        finally:
            held.release(scope)
            route = getattr(scope.get("route"), "path_format", NO_ROUTE)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.count(method, route, status, perf_counter() - started)

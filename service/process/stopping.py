"""An orderly stop: requests in flight are finished, new ones are answered 503, and all ends within ten seconds.

At a SIGTERM, a SIGINT or a SIGHUP: the last comes where the terminal of a service is closed, and would end the process
at once. Under `nohup` it is ignored.

Pure ASGI, round the application. It takes the signals itself, and passes them on to the server when all is done: a
server stops listening as soon as it is told to stop, and what is not listened to cannot be answered. A subclass of
uvicorn's server would not do, as uvicorn makes its own in every worker process.
"""

import asyncio
import faulthandler
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from types import FrameType
from typing import Any

import orjson

from service.app import from_environment
from service.errors import StoppingError
from service.http.layers.headers import ALWAYS, NOT_STORED
from service.http.layers.request_ids import HEADER, RequestIds
from service.http.replies.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem
from service.process.metrics_folder import hold_metrics_folder
from service.process.parent import stop_with_parent

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# From the signal on. New requests are answered so long even where none is in flight, as load balancers take a while to
# see that /readyz fails.
LINGER_SECONDS = 0.5
# Then what is still in flight is cut off.
FINISH_SECONDS = 6.0
# Then the process ends as if killed, whatever holds it up: what was acknowledged is on disk.
LAST_SECONDS = 9.0
# How long the body of a refused request is read: an answer may be lost where a connection is closed with bytes unread.
READ_SECONDS = 0.5
# Longer bodies are waited for until the client has taken all but about so many bytes.
UNSENT_BYTES = 2**16
LIVE = "/livez"
CLOSE = (b"connection", b"close")


class Stopping:
    """Lets requests pass and knows those in flight; once it is told to stop, refuses all others but /livez.

    A second SIGINT stops at once.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._ids = RequestIds()
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._cut = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it; each runs in a task of its own."""
        if scope["type"] == "lifespan":
            self._take_signals()
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._stopping and scope["path"] != LIVE:
            self._ids.note(scope)
            await _refuse(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if self._stopping:
                    message["headers"] = [*message.get("headers", ()), CLOSE]
            elif len(message.get("body", b"")) > UNSENT_BYTES and not message.get("more_body", False):
                # A server waits before the next message only: in flight until then.
                await send({**message, "more_body": True})
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        task = asyncio.current_task()
        assert task is not None  # nosec B101  # for the type checker
        self._in_flight.add(task)
        try:
            await self._app(scope, receive, send_on)
        except asyncio.CancelledError:
            if started or not self._cut:
                raise
            detail = f"expected the request to be done {FINISH_SECONDS:g} seconds after the service was told to stop"
            await _answer(scope, receive, send, StoppingError(f"{detail}, it was not: some of it may have been done"))
        finally:
            self._in_flight.discard(task)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        servers_own: dict[int, Any] = {}
        received: list[int] = []

        def pass_on(number: int) -> None:
            if callable(servers_own[number]):
                servers_own[number](number, None)

        def take(number: int, frame: FrameType | None) -> None:
            received.append(number)
            if received.count(signal.SIGINT) > 1:
                # Two, as the server drops everything at its second only.
                pass_on(signal.SIGINT)
                pass_on(signal.SIGINT)
            if not self._stopping:
                self._stopping = True
                faulthandler.dump_traceback_later(LAST_SECONDS, exit=True)
                asyncio.run_coroutine_threadsafe(self._finish(lambda: pass_on(number)), loop)

        for number in (signal.SIGTERM, signal.SIGINT):
            servers_own[number] = signal.signal(number, take)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, take)
            # The server has nothing of its own for it.
            servers_own[signal.SIGHUP] = lambda number, frame: pass_on(signal.SIGTERM)

    async def _finish(self, stop_server: Callable[[], None]) -> None:
        in_flight = self._in_flight.copy()
        await asyncio.sleep(LINGER_SECONDS)
        if in_flight:
            _, late = await asyncio.wait(in_flight, timeout=FINISH_SECONDS - LINGER_SECONDS)
            self._cut = True
            for task in late:
                task.cancel()
        stop_server()


def application() -> Stopping:
    """The application by the settings of the environment: what each worker process runs."""
    made = Stopping(from_environment())
    stop_with_parent()
    hold_metrics_folder()
    return made


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "expected a service that takes requests, this one stops: try again, it may be another one that answers"
    await _answer(scope, receive, send, StoppingError(detail))


async def _answer(scope: Scope, receive: Receive, send: Send, error: StoppingError) -> None:
    problem = Problem(title=error.title, status=error.status, detail=str(error), request_id=scope["request_id"])
    body = orjson.dumps(problem.model_dump(exclude={"indexed"}))
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Retry-After": RETRY_AFTER_SECONDS,
        HEADER: scope["request_id"],
    }
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    encoded += [*ALWAYS, NOT_STORED]
    await _read_rest(scope, receive)
    await send({"type": "http.response.start", "status": error.status, "headers": [*encoded, CLOSE]})
    await send({"type": "http.response.body", "body": body})


async def _read_rest(scope: Scope, receive: Receive) -> None:
    # Who expects 100 Continue sends no body unless it is asked for.
    if any(name == b"expect" for name, _ in scope["headers"]):
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_SECONDS):
            while (await receive()).get("more_body", False):
                pass

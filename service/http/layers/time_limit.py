"""How long a request may take, from its headers to the beginning of its reply.

What a thread has begun is finished, and its result is dropped; but documents are encoded no further than the next one.
A write may so be done although its request was answered with an error, which the error says.
"""

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import TookTooLongError
from service.http.layers import held
from service.http.replies.problems import answer

KEY = "hammingway.time_limit"


class TimeLimit:
    """Pure ASGI: what takes longer is cancelled, and answered with a 504. Whoever sees a reply begin calls `stop`.

    A timer of its own, as `asyncio.timeout` was measured to take several times as long, at every request.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for so long; once a reply has begun, it takes what it takes."""
        task = asyncio.current_task()
        assert task is not None  # nosec B101  # for the type checker
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            task.cancel()

        timer = scope[KEY] = asyncio.get_running_loop().call_later(self._seconds, expire)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not expired or task.uncancel():
                # Cancelled by others, too.
                raise
            await self._refuse(scope, receive, send)
        finally:
            timer.cancel()

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        held.leave(scope)
        error = TookTooLongError(
            f"expected the request to be done in {self._seconds:g} seconds, it was not: a write that was under way is "
            "finished"
        )
        await answer(Request(scope), error)(scope, receive, send)


def lift(request: Request) -> None:
    """Let a request take as long as it needs: a snapshot, an import of any length."""
    stop(request.scope)


def stop(scope: Scope) -> None:
    """Count no more, as a reply begins: what it takes then is the client's time."""
    timer: asyncio.TimerHandle | None = scope.get(KEY)
    if timer is not None:
        timer.cancel()

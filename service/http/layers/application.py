"""FastAPI within layers of our own, which every HTTP request comes through first."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send


class Application(FastAPI):
    """As FastAPI in all else.

    FastAPI's own middleware lies within seven layers of its own, all of which would be in the way of what is answered
    without it (`direct`).
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._outermost: ASGIApp = super().__call__

    def wrap(self, layer: Callable[..., ASGIApp], **options: Any) -> None:
        """Put a layer of pure ASGI, which sees HTTP only, round all that there are."""
        self._outermost = layer(self._outermost, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http":
            scope["app"] = self
            await self._outermost(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

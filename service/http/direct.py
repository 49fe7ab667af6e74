"""Routes for what is asked so often that FastAPI's own way to them is too long.

To solve the dependencies of a search and to look after what they might leave open took 75 microseconds, and three times
that where a scan of the codes has just emptied the processor's caches: a quarter of what HTTP adds to a search.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from service.http.state import ready_state


class Direct(APIRoute):
    """A route whose endpoint takes `(collection, request, state)`, and whose dependencies take the request alone."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._checks: list[Callable[[Request], Awaitable[None]]] = []
        for each in self.dependencies:
            if each.dependency is None:
                raise TypeError(f"expected dependencies of {self.path} that are called, got {each}")
            self._checks.append(each.dependency)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The whole way: each dependency that the route names, then the endpoint, then its reply."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        for check in self._checks:
            await check(request)
        response = await self.endpoint(request.path_params["collection"], request, await ready_state(request))
        await response(scope, receive, send)


def add(app: FastAPI, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
    """Give an application such a route: itself, as one of a router that it includes is looked for twice."""
    app.router.add_api_route(path, endpoint, route_class_override=Direct, **described)

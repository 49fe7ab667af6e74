"""Routes for what is asked so often that the way through FastAPI to them is too long.

To go through its layers, solve the dependencies of a search and look after what they might leave open took 150
microseconds, and three times that where a scan of the codes has just emptied the processor's caches.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import HammingwayError
from service.http.replies import problems
from service.http.state import ready_state


class Direct(APIRoute):
    """A route whose endpoint takes `(collection, request, state)`, and whose dependencies take the request alone.

    FastAPI knows it as any other: it describes it, and answers other methods of its path.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._checks: list[Callable[[Request], Awaitable[None]]] = []
        for each in self.dependencies:
            if each.dependency is None:
                raise TypeError(f"expected dependencies of {self.path} that are called, got {each}")
            self._checks.append(each.dependency)

    async def answer(self, request: Request) -> Response:
        """The reply: each dependency that the route names, then the endpoint."""
        for check in self._checks:
            await check(request)
        reply: Response = await self.endpoint(request.path_params["collection"], request, await ready_state(request))
        return reply


class DirectRoutes:
    """Pure ASGI: answers what is for one of the application's direct routes, and passes on all else."""

    def __init__(self, app: ASGIApp, application: FastAPI) -> None:
        self._app = app
        self._routes = [route for route in application.routes if isinstance(route, Direct)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, an error with a problem detail, or pass it on."""
        for route in self._routes:
            if scope["method"] in (route.methods or ()):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await _answer(route, scope, receive, send)
                    return
        await self._app(scope, receive, send)


def add(app: FastAPI, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
    """Give an application such a route."""
    app.router.add_api_route(path, endpoint, route_class_override=Direct, **described)


async def _answer(route: Direct, scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    try:
        reply = await route.answer(request)
    except HammingwayError as error:
        reply = problems.answer(request, error)
    except Exception:
        await problems.bug(request)(scope, receive, send)
        # For the server, which logs it.
        raise
    await reply(scope, receive, send)

"""Routes for what is asked so often that FastAPI's own way to them is too long.

To solve the dependencies of a search and to look after what they might leave open took 75 microseconds, and three times
that where a scan of the codes has just emptied the processor's caches: a quarter of what HTTP adds to a search.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from service.http.state import ready_state


class Direct(APIRoute):
    """A route whose endpoint takes `(collection, request, state)`, and whose dependencies take the request alone."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The whole way: each dependency that the route names, then the endpoint."""
        endpoint = self.endpoint
        checks: list[Callable[[Request], Awaitable[None]]] = []
        for each in self.dependencies:
            if each.dependency is None:
                raise TypeError(f"expected dependencies of {self.path} that are called, got {each}")
            checks.append(each.dependency)

        async def handle(request: Request) -> Response:
            for check in checks:
                await check(request)
            response: Response = await endpoint(request.path_params["collection"], request, await ready_state(request))
            return response

        return handle

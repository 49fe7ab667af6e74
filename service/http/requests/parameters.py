"""Parameters of a URL that an operation does not know: refused, as names in a body are.

Looked for only where a URL has a query at all, and by the route's own list, so that no route has to think of it.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import HammingwayError
from service.errors import Fault, FaultsError
from service.http.replies.problems import MOST_ERRORS, answer

BRIEFLY = 80
# More than any operation knows, each of its values once.
MOST_PARAMETERS = 100
# Where one stands whose name is empty.
NAMELESS = "URL"


class KnownParameters:
    """Pure ASGI: a request whose URL names other parameters than those of its operation is a 422."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        """`routes` are those that take no other parameters than their endpoints name."""
        self._app = app
        self._routes = [
            (route, tuple(parameter.alias for parameter in route.dependant.query_params))
            for route in routes
            if isinstance(route, APIRoute)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["query_string"]:
            found = ((route, known) for route, known in self._routes if route.matches(scope)[0] is Match.FULL)
            if (operation := next(found, None)) is not None:
                route, known = operation
                if (fault := _fault(scope["query_string"], known)) is not None:
                    # For what counts and traces the request.
                    scope["route"] = route
                    request = Request(scope)
                    await answer(request, await _not_let_in(route, request) or fault)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _fault(query: bytes, known: Sequence[str]) -> FaultsError | None:
    if (count := 1 + query.count(b"&")) > MOST_PARAMETERS:
        detail = f"expected at most {MOST_PARAMETERS} parameters, got {count}"
        return FaultsError(None, [Fault(NAMELESS, FaultsError.status, FaultsError.title, detail)])
    try:
        # What is not UTF-8 would be U+FFFD, and so the same as something else.
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return FaultsError(
            None, [Fault(NAMELESS, FaultsError.status, FaultsError.title, "expected parameters in UTF-8, got others")]
        )
    unknown = [name for name in dict.fromkeys(name for name, _ in given) if name not in known]
    return refused(unknown, known) if unknown else None


async def _not_let_in(route: APIRoute, request: Request) -> HammingwayError | None:
    """Why the request may not use the route, which counts before anything that is wrong with the request."""
    try:
        for each in route.dependencies:
            if each.dependency is not None:
                await each.dependency(request)
    except HammingwayError as error:
        return error
    return None


def refused(unknown: Iterable[str], known: Sequence[str]) -> FaultsError:
    """The error for parameters that are not known."""
    expected = f"one of {', '.join(known)}" if known else "no parameters in the URL"
    faults = [
        Fault(
            name[:BRIEFLY] or NAMELESS,
            FaultsError.status,
            FaultsError.title,
            f"expected {expected}, got {name[:BRIEFLY]!r}",
        )
        for name in unknown
    ]
    return FaultsError(None, faults[:MOST_ERRORS], more=max(0, len(faults) - MOST_ERRORS))

"""The methods that a path takes, by all routes together, as `Allow` has to name them (RFC 9110, section 15.5.6)."""

from fastapi import Request
from starlette.routing import Match

METHODS = ("GET", "PUT", "PATCH", "POST", "DELETE")


def allowed(request: Request) -> list[str]:
    """Methods for which the path of a request leads somewhere."""
    routes = request.app.router.routes
    scopes = {method: dict(request.scope) | {"method": method} for method in METHODS}
    there = [
        method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]
    # Whatever takes GET takes HEAD.
    return ["GET", "HEAD", *there[1:]] if "GET" in there else there

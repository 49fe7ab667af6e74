"""The page for people: Swagger UI from this service's own files, under a policy that lets nothing else run."""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import Scope

PATH = "/docs"
STATIC = "/static-offline-docs"
METHODS = ("GET", "HEAD")
RANGES = (b"range", b"if-range")
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


class Parts(StaticFiles):
    """Files that are given whole, and refused as all else is."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; raises HTTPException."""
        if scope["method"] not in METHODS:
            raise HTTPException(405, headers={"Allow": ", ".join(METHODS)})
        # Nobody needs a part of one, and what is none would be answered in plain text.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in RANGES]
        return await super().get_response(path, scope)


def install(app: FastAPI) -> None:
    """Serve the page and its parts, which would come from a network of others without `fastapi_offline`."""
    app.mount(STATIC, Parts(directory=str(files("fastapi_offline") / "static")))
    router = APIRouter()

    @router.get(PATH, include_in_schema=False)
    async def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title} {app.version}",
            swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{root}{STATIC}/favicon.png",
        )
        page.headers["Content-Security-Policy"] = _policy(bytes(page.body))
        return page

    app.include_router(router)


def _policy(page: bytes) -> str:
    """What the page may do: its own files, and the scripts that stand in it, each by its SHA-256."""
    scripts = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE.findall(page)]
    allowed = " ".join(f"'sha256-{digest}'" for digest in scripts)
    # Swagger UI sets styles in its elements, and draws icons from data: URLs.
    return (
        f"default-src 'none'; script-src 'self' {allowed}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

"""What serves, for bug reports and for who upgrades many of them."""

import platform
from importlib.metadata import version as installed

from fastapi import APIRouter
from fastapi.responses import Response

from service.http.access import READ
from service.http.replies.reply import reply
from service.http.schemas.version import VersionReply
from service.store.connection import sqlite_version

router = APIRouter(tags=["health"])
VERSIONS = {
    "version": installed("hammingway"),
    "python": platform.python_version(),
    "faiss": installed("faiss-cpu"),
    "onnxruntime": installed("onnxruntime"),
    "sqlite": sqlite_version(),
}


@router.get("/version", dependencies=READ, response_model=VersionReply, summary="Version")
async def version() -> Response:
    """The versions of the service, of Python, and of the libraries that search, encode and keep."""
    return reply(VERSIONS)

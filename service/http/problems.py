"""Every error as a problem detail (RFC 9457), from one place."""

import logging
import reprlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from models.errors import HammingwayError
from service.errors import FaultsError, NotReadyError
from service.http.headers import ALWAYS, NOT_STORED
from service.http.middleware import HEADER

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20
LONGEST_ECHO = 80
RETRY_AFTER_SECONDS = "1"
RETRIED = (429, 503, 504)
log = logging.getLogger(__name__)
# What came may be deep or long: only its beginning is ever written out.
_ECHO = reprlib.Repr()
_ECHO.maxlevel = 2
_ECHO.maxstring = _ECHO.maxlong = _ECHO.maxother = LONGEST_ECHO


class Fault(BaseModel):
    """One thing that is wrong, and where in the request."""

    where: str = Field(examples=["items/3/vector"])
    detail: str = Field(examples=["expected a vector of 64 numbers, got 63"])


class Problem(BaseModel):
    """What went wrong: what was expected and what came."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Invalid input"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["limit: Input should be greater than or equal to 1, got 0"])
    errors: list[Fault] = Field(default=[], description="the parts of the request that cannot be used")
    indexed: int | None = Field(None, description="items that are on disk although an import was stopped")
    request_id: str | None = Field(None, description="also in the reply's header X-Request-ID, and in the log")


def install(app: FastAPI) -> None:
    """Answer every kind of error with a problem detail."""
    app.add_exception_handler(HammingwayError, _on_hammingway_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)


def describe(fault: Mapping[str, Any]) -> Fault:
    """One of pydantic's errors: where, what was expected and, briefly, what came."""
    where = "/".join(str(part) for part in fault["loc"]) or "body"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] not in ("value_error", "missing"):
        message += f", got {_ECHO.repr(fault['input'])[:LONGEST_ECHO]}"
    return Fault(where=where, detail=message)


def _reply(
    request: Request, status: int, title: str, detail: str, errors: Sequence[Fault] = (), indexed: int | None = None
) -> Response:
    request_id = request.scope.get("request_id")
    problem = Problem(
        title=title, status=status, detail=detail, errors=list(errors), indexed=indexed, request_id=request_id
    )
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status in RETRIED else {}
    if request_id:
        # Set here, too: the reply to a bug is made outside the middleware.
        headers[HEADER] = request_id
    left_out = {"indexed"} if indexed is None else None
    return Response(orjson.dumps(problem.model_dump(exclude=left_out)), status, headers, MEDIA_TYPE)


def answer(request: Request, error: HammingwayError) -> Response:
    """The reply to one of the errors that are raised on purpose."""
    faults: list[Fault] = []
    indexed = None
    if isinstance(error, FaultsError):
        indexed = error.indexed
        faults = [Fault(where=fault.where, detail=fault.detail) for fault in error.faults]
    if error.status >= 500 and not isinstance(error, NotReadyError):
        log.error("request %s: %s: %s", request.scope.get("request_id"), error.title, error)
    reply = _reply(request, error.status, error.title, str(error), faults, indexed)
    reply.headers.update(getattr(error, "headers", {}))
    return reply


async def _on_hammingway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HammingwayError)  # nosec B101  # for the type checker
    return answer(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # nosec B101  # for the type checker
    errors = error.errors()
    faults = [describe(fault) for fault in errors[:MOST_ERRORS]]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return _reply(request, 422, "Invalid input", f"{faults[0].where}: {faults[0].detail}{more}", faults)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # nosec B101  # for the type checker
    title = HTTPStatus(error.status_code).phrase
    reply = _reply(request, error.status_code, title, f"{error.detail}: {request.method} {request.url.path[:200]}")
    reply.headers.update(error.headers or {})
    return reply


async def _on_bug(request: Request, error: Exception) -> Response:
    # The framework logs the traceback; a caller is told nothing of the inside.
    reply = _reply(request, 500, "Internal error", "the service failed; its log says more under this request's id")
    # Here, too, as this reply is made outside the middleware.
    reply.raw_headers.extend((*ALWAYS, NOT_STORED))
    return reply

"""Every error as a problem detail (RFC 9457), from one place."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from models.errors import HammingwayError, InvalidInputError
from service.errors import MOST_LISTED, FaultsError, NotReadyError, let_go
from service.http.replies.allowed import allowed
from service.http.replies.wording import told

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = MOST_LISTED
# Of a name in a place, in characters.
LONGEST_NAME = 80
RETRY_AFTER_SECONDS = "1"
RETRIED = (429, 503, 504)
log = logging.getLogger(__name__)
# Where FastAPI says that something stands, before the name that it has there.
PLACES = ("query", "path", "header", "cookie", "body")


class Fault(BaseModel):
    """One thing that is wrong, and where in the request."""

    where: str = Field(
        examples=["items/3/vector"],
        description="its place: names and numbers from 0, with / between; `line 7` of NDJSON; a header's name; `body`",
    )
    detail: str = Field(
        examples=["expected a vector of 64 numbers, got 63"], description="what was expected there, and what came"
    )


class Problem(BaseModel):
    """What went wrong: what was expected and what came."""

    type: str = Field(
        "about:blank", examples=["about:blank"], description="always this: `title` tells the kind (RFC 9457)"
    )
    title: str = Field(examples=["Invalid input"], description="the kind of error, of a few that there are")
    status: int = Field(examples=[422], description="the HTTP status, once more")
    detail: str = Field(examples=["limit: expected at least 1, got 0"], description="all of it in a sentence")
    errors: list[Fault] = Field(default=[], description="the parts of the request that cannot be used")
    indexed: int | None = Field(None, description="items that are on disk although an import was stopped")
    request_id: str | None = Field(
        None,
        examples=["5d692a7b6a4f4e9a8e5dce9f5ccb95ac"],
        description="also in the reply's header X-Request-ID, and in the log",
    )


BUG = Problem(
    title=HammingwayError.title,
    status=HammingwayError.status,
    detail="the service failed; its log says more under this request's id",
)


def install(app: FastAPI) -> None:
    """Answer every kind of error with a problem detail."""
    app.add_exception_handler(HammingwayError, _on_hammingway_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_bug)


def describe(fault: Mapping[str, Any]) -> Fault:
    """One of pydantic's errors: where, what was expected and, briefly, what came."""
    return Fault(where="/".join(map(_briefly, fault["loc"])) or "body", detail=told(fault))


def _briefly(part: object) -> str:
    """A part of a place: a name may be as long as the body."""
    text = str(part)
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def content(problem: Problem) -> dict[str, Any]:
    """A problem detail by names in JSON; `indexed` only where there is something to say of it."""
    return problem.model_dump(exclude={"indexed"} if problem.indexed is None else None)


def _reply(request: Request, problem: Problem) -> Response:
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if problem.status in RETRIED else {}
    told = content(problem) | {"request_id": request.scope.get("request_id")}
    return Response(orjson.dumps(told), problem.status, headers, MEDIA_TYPE)


def problem(error: HammingwayError) -> Problem:
    """What an error that is raised on purpose tells; the request's id is not known here."""
    faults: list[Fault] = []
    indexed = None
    if isinstance(error, FaultsError):
        indexed = error.indexed
        faults = [Fault(where=fault.where, detail=fault.detail) for fault in error.faults[: error.most_listed]]
    elif error.where is not None:
        faults = [Fault(where=error.where, detail=error.detail)]
    return Problem(title=error.title, status=error.status, detail=str(error), errors=faults, indexed=indexed)


def answer(request: Request, error: HammingwayError) -> Response:
    """The reply to one of the errors that are raised on purpose."""
    if error.status >= 500 and not isinstance(error, NotReadyError):
        log.error("request %s: %s: %s", request.scope.get("request_id"), error.title, error)
    let_go(error)
    reply = _reply(request, problem(error))
    reply.headers.update(getattr(error, "headers", {}))
    return reply


def bug(request: Request) -> Response:
    """The reply to an error that nobody expected: the server logs it, a caller is told nothing of the inside.

    The server closes the connection then, which a client has to know, or it sends its next request into nothing.
    """
    reply = _reply(request, BUG)
    reply.headers["Connection"] = "close"
    return reply


async def _on_hammingway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HammingwayError)  # nosec B101  # for the type checker
    return answer(request, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # nosec B101  # for the type checker
    errors = error.errors()
    faults = [describe({**fault, "loc": _named(fault["loc"])}) for fault in errors[:MOST_ERRORS]]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{faults[0].where}: {faults[0].detail}{more}"
    return _reply(request, Problem(title=InvalidInputError.title, status=422, detail=detail, errors=faults))


def _named(location: Sequence[Any]) -> Sequence[Any]:
    return location[1:] if len(location) > 1 and location[0] in PLACES else location


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # nosec B101  # for the type checker
    title = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    came = f"got {request.method} {request.url.path[:200]}"
    match error.status_code:
        case 404:
            detail = f"expected a path that there is, {came}"
        case 405:
            # What a route says itself are its own methods only, but of files there is nothing else.
            headers["Allow"] = ", ".join(allowed(request)) or headers.get("Allow", "")
            detail = f"expected one of {headers['Allow']}, {came}"
        case _:
            detail = f"{error.detail}: {came}"
    reply = _reply(request, Problem(title=title, status=error.status_code, detail=detail))
    reply.headers.update(headers)
    return reply


async def _on_bug(request: Request, error: Exception) -> Response:
    return bug(request)

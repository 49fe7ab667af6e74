"""The reply to what is no HTTP: it reaches no application, so it is the server that sends it, byte by byte."""

import orjson

from service.http.headers import ALWAYS, NOT_STORED
from service.http.problems import MEDIA_TYPE, Fault, Problem, content
from service.http.request_ids import NAME

_DETAIL = "expected an HTTP/1.1 request, got what is none"
_PROBLEM = Problem(
    title="Bad Request",
    status=400,
    detail=f"request: {_DETAIL}",
    errors=[Fault(where="request", detail=_DETAIL)],
)


def reply(request_id: str) -> bytes:
    """A whole reply, after which the connection is closed: nobody knows where the next request would begin."""
    body = orjson.dumps(content(_PROBLEM) | {"request_id": request_id})
    headers = (
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (NAME, request_id.encode()),
        *ALWAYS,
        NOT_STORED,
    )
    lines = [b"HTTP/1.1 400 Bad Request", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

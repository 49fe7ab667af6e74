"""The reply to what reaches no application, as it is no whole request: it is the server that sends it, byte by byte."""

from http import HTTPStatus

import orjson

from service.http.layers.headers import ALWAYS, NOT_STORED
from service.http.layers.request_ids import NAME
from service.http.replies.problems import MEDIA_TYPE, RETRIED, RETRY_AFTER_SECONDS, Fault, Problem, content


def reply(request_id: str, status: int, detail: str) -> bytes:
    """A whole reply, after which the connection is closed: nobody knows where the next request would begin."""
    title = HTTPStatus(status).phrase
    problem = Problem(
        title=title,
        status=status,
        detail=f"request: {detail}",
        errors=[Fault(where="request", detail=detail)],
        request_id=request_id,
    )
    body = orjson.dumps(content(problem))
    headers = (
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (NAME, request_id.encode()),
        *([(b"retry-after", RETRY_AFTER_SECONDS.encode())] if status in RETRIED else []),
        *ALWAYS,
        NOT_STORED,
    )
    lines = [f"HTTP/1.1 {status} {title}".encode(), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body

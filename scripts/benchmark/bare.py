"""The smallest application that uvicorn can serve: what the server itself takes of each request to the service."""

from typing import Any

MATCH = b'{"id":"item-100000","distance":10,"similarity":0.921875,"payload":{}}'
BODY = b'{"results":[%s]}' % b",".join([MATCH] * 10)
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Read a request's body, and reply as long as the ten nearest items are."""
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})

"""One call, from its request to its result, over as many attempts as it takes: all but the sending and the waiting."""

import gzip
import random
import ssl
import time
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from models.errors import InvalidInputError
from service.client.calls import Call
from service.client.errors import ServiceError, from_reply, unlike
from service.client.propagation import trace_headers
from service.client.retries import Retries, seconds_asked

T = TypeVar("T")
COMPRESS_FROM_BYTES = 2**14
COMPRESSION_LEVEL = 1
LAST_PORT = 65535
Outcome = httpx.Response | httpx.HTTPError


@dataclass(frozen=True)
class Options:
    """What holds for all calls; without a time limit where `timeout` is None."""

    url: str
    timeout: float | None
    retries: Retries
    compress: bool

    def arguments(self, call: Call[T]) -> dict[str, Any]:
        """A call as httpx takes requests; compresses its body where that is asked for and worth it."""
        content, headers = call.content, trace_headers() | dict(call.headers)
        if content is not None:
            headers["Content-Type"] = call.media_type
        if content is not None and self.compress and len(content) >= COMPRESS_FROM_BYTES:
            content = gzip.compress(content, COMPRESSION_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        timeout = None if call.patient else self.timeout
        return {
            "method": call.method,
            "url": call.path,
            "params": call.parameters,
            "content": content,
            "headers": headers,
            "timeout": timeout,
        }


def authorization(key: str | None) -> dict[str, str]:
    """The header for an API key; raises InvalidInputError, without telling it."""
    if key is None:
        return {}
    if not key or not key.isascii() or not key.isprintable():
        raise InvalidInputError("expected a key of printable ASCII characters, got another one")
    return {"Authorization": f"Bearer {key}"}


def require_url(url: str) -> httpx.URL:
    """The URL of a service; raises ServiceError for what is none."""
    expected = f"expected a URL like http://127.0.0.1:8000, got {url!r}"
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ServiceError(f"{expected}: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > LAST_PORT:
        raise ServiceError(expected)
    return parsed


def trusted(url: httpx.URL) -> ssl.SSLContext | bool:
    """Whom to trust for HTTPS: for a URL without it nobody, as the certificates there are take 30 ms to read."""
    return True if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass(frozen=True)
class Again:
    """Make the next attempt after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Done(Generic[T]):
    """The result."""

    result: T


class Exchange(Generic[T]):
    """The attempts at one call."""

    def __init__(self, call: Call[T], options: Options) -> None:
        self._call = call
        self._options = options
        self._made = 0

    def judge(self, outcome: Outcome) -> Done[T] | Again:
        """What to do after an attempt; raises ServiceError where it is over without a result."""
        judged = self.judge_head(outcome)
        if isinstance(judged, Again):
            return judged
        try:
            return Done(self._call.read(judged.result.content))
        except (ValueError, KeyError, TypeError):
            raise unlike(judged.result) from None

    def judge_head(self, outcome: Outcome) -> Done[httpx.Response] | Again:
        """The same, where the result is a reply that is still to be read."""
        self._made += 1
        if isinstance(outcome, httpx.HTTPError):
            return self._after_error(outcome)
        if outcome.is_success:
            return Done(outcome)
        asked = seconds_asked(outcome.headers.get("Retry-After"), time.time())
        seconds = self._options.retries.after_reply(self._made, outcome.status_code, asked, random.random())  # nosec B311  # spreads retries, guards nothing
        if seconds is None:
            raise from_reply(outcome)
        return Again(seconds)

    def _after_error(self, error: httpx.HTTPError) -> Again:
        seconds = self._options.retries.after_error(self._made, error, self._call.repeatable, random.random())  # nosec B311  # spreads retries, guards nothing
        if seconds is None:
            raise ServiceError(f"no answer from {self._options.url}: {error or type(error).__name__}") from None
        return Again(seconds)

"""HTTP/1.1 framing: which bytes of a connection are a request's head, which are its body, and where the next one is.

Where a server and a proxy before it disagree on this, a client can hide a request in the body of another one (request
smuggling). httptools parses strictly, but it stops at the end of the head of a request with `Upgrade`, and it leaves
some checks of RFC 9112 to its caller. They are made here.
"""

import asyncio
import re
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# Requests that a client may send before the first of them is answered: each is held as Python objects.
MOST_PIPELINED = 100
# A header takes many times the memory of the bytes that it is sent in.
MOST_HEADERS = 256
# After the last response on a connection, for the client to read it while it still sends.
LINGER_SECONDS = 2.0
# How long a client that sends no more, which may have left, is waited for until its response begins.
HALF_CLOSED_SECONDS = 0.5
VERSIONS = ("1.0", "1.1")
# The characters of a host and a port (RFC 3986, section 3.2.2).
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)
_BAD_REQUEST, _EXPECTATION_FAILED, _TOO_LARGE = 400, 417, 431
_NOT_IMPLEMENTED, _VERSION_NOT_SUPPORTED = 501, 505
_NO_HTTP = (_BAD_REQUEST, "expected an HTTP/1.1 request, got what is none")


class RefusedRequestError(Exception):
    """Stops the parser at a request that is not served."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Cycle(RequestResponseCycle):
    """A request and its response."""

    _until_close = False

    async def send(self, message: Any) -> None:
        """Send a part of the response.

        A connection whose request body is not complete when the response starts takes no further request. To an
        HTTP/1.0 client a response without a length ends with the connection, as that version has no chunks.
        """
        if message["type"] == "http.response.start":
            if self.more_body:
                self.keep_alive = False
            if self.scope["http_version"] == "1.0" and not _has_length(message):
                self._until_close, self.chunked_encoding = True, False
        else:
            if self._until_close:
                self.expected_content_length = len(message.get("body", b""))
            if self.more_body and not message.get("more_body", False):
                # uvicorn would close the connection at once, and the reset might overtake the response.
                self.keep_alive = True
        await super().send(message)


class Framed(HttpToolsProtocol):
    """A connection on which one request after the other is read, each to its own end."""

    cycle: Cycle
    # What the parser is in; after a message, and before its next one begins, nothing.
    _part: Literal["head", "body"] | None = "head"
    # The request whose response is made now; `cycle` is the one that was read last.
    _active: Cycle | None = None
    # Whether what the client sends is passed over.
    _deaf = False
    # Whether the client has said that it sends no more.
    _half_closed = False
    # Sent when all requests before it are answered.
    _last_reply: bytes | None = None
    _refusal: RefusedRequestError | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered; uvicorn tells the one that was read last."""
        if self._active is not None and self._is_answering:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer the requests that are whole, then close the connection (RFC 9293, section 3.6).

        `nc` and other simple clients end their half of a connection after their request. A client that has left looks
        the same until something is sent to it, so after `HALF_CLOSED_SECONDS` it is taken for gone.
        """
        if self._is_answering and (self._deaf or self._part != "body"):
            self._half_closed = True
            self.loop.call_later(HALF_CLOSED_SECONDS, self._take_for_gone)
        else:
            self.transport.close()
        # The connection is closed here: what was written last may not have been given to the transport yet.
        return True

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._deaf:
            return
        rest = memoryview(data)
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as stop:
                    rest = rest[stop.args[0] :]
                    self._read_again()
        except httptools.HttpParserError:
            refusal, self._refusal = self._refusal, None
            self.refuse(*(_NO_HTTP if refusal is None else (refusal.status, refusal.detail)))

    def on_message_begin(self) -> None:
        """Begin a request."""
        # Not before: a client might send empty lines for ever, which the parser passes over.
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._part = "head"

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header.

        The fields of a trailer are left out: one of them must not pass for a header (RFC 9110, section 6.5.1).
        """
        if self._part == "head":
            if len(self.headers) == MOST_HEADERS:
                self._stop(_TOO_LARGE, f"expected at most {MOST_HEADERS} headers, got more")
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Start the request, or have it wait for the response to the one before it."""
        method = self.parser.get_method().decode("ascii")
        if method == "CONNECT":
            self._stop(_NOT_IMPLEMENTED, "expected a method that a server without tunnels has, got CONNECT")
        if self.parser.should_upgrade():
            # The parser stops here, and gets the head once more.
            return
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop(429, f"expected at most {MOST_PIPELINED} requests at a time on a connection, got more")
        version = self.parser.get_http_version()
        self._check_head(version)
        self.scope["method"] = method
        self.scope["http_version"] = version
        self._note_target(method)
        self._part = "body"
        previous, self.cycle = (
            self.cycle,
            Cycle(
                scope=self.scope,
                transport=self.transport,
                flow=self.flow,
                logger=self.logger,
                access_logger=self.access_logger,
                access_log=self.access_log,
                default_headers=self.server_state.default_headers,
                message_event=asyncio.Event(),
                expect_100_continue=self.expect_100_continue,
                keep_alive=version != "1.0" and self.parser.should_keep_alive(),
                on_response=self.on_response_complete,
            ),
        )
        if previous is None or previous.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_message_complete(self) -> None:
        """End a request; the head alone of one that is read again is none."""
        if self._part == "body":
            super().on_message_complete()
            self._part = None

    def on_response_complete(self) -> None:
        """Go on with the next request, unless this response was the last one."""
        if self._active is not None and self._active.more_body:
            self.server_state.total_requests += 1
            self.hang_up()
            return
        super().on_response_complete()
        if self._last_reply is not None and not self._is_answering:
            self.transport.write(self._last_reply)
            self.hang_up()
        elif self._half_closed and not self._is_answering:
            self.transport.close()

    def refuse(self, status: int, detail: str) -> None:
        """Answer that what the client sends is not served, and close the connection."""
        if self._deaf:
            return
        reply = self.refusal(status, detail)
        broken = self.cycle if self._part == "body" else None
        if broken is not None and broken is not self._active:
            # The last one in the queue.
            self.pipeline.popleft()
            broken = None
        if broken is not None:
            broken.disconnected = True
            broken.message_event.set()
            if broken.response_started:
                self.transport.close()
                return
        elif self._is_answering:
            # In the order of the requests: a client, or a proxy, takes responses by their order.
            self._deaf, self._last_reply = True, reply
            return
        self.transport.write(reply)
        self.hang_up()

    def refusal(self, status: int, detail: str) -> bytes:
        """The whole response for a request that is refused."""
        raise NotImplementedError

    def hang_up(self) -> None:
        """Say that nothing more is sent, and close the connection soon.

        A connection that is closed with bytes unread is reset, and the client may lose the response. So what it still
        sends is passed over for a moment.
        """
        self._deaf = True
        self.pipeline.clear()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            with suppress(OSError):
                self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    @property
    def _is_answering(self) -> bool:
        return self._active is not None and not self._active.response_complete

    def _take_for_gone(self) -> None:
        # To write tells whether the client is there: a response that has begun is sent to its end.
        self.pipeline.clear()
        if self._active is not None and not self._active.response_started:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        assert isinstance(cycle, Cycle)  # nosec B101  # for the type checker
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def _stop(self, status: int, detail: str) -> None:
        """Stop the parser in one of its callbacks, as it would go on with the rest of what came otherwise."""
        self._refusal = RefusedRequestError(status, detail)
        raise self._refusal

    def _read_again(self) -> None:
        """Read a head once more, without `Upgrade`, which is ignored here (RFC 9110, section 7.8).

        The parser cannot be told to ignore it: it takes what follows for another protocol, and would next read the body
        as a request.
        """
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn has it: what follows a request with `Connection: close` is passed over.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    def _check_head(self, version: str) -> None:
        """Stop at a head that somebody else might read in another way (RFC 9112, sections 2.3, 3.2, 6.1 and 6.3)."""
        if version not in VERSIONS:
            self._stop(_VERSION_NOT_SUPPORTED, f"expected HTTP/1.1 or HTTP/1.0, got HTTP/{version}")
        hosts, codings, expectations = [], [], []
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"transfer-encoding":
                codings.append(value)
            elif name == b"expect":
                expectations += value.lower().split(b",")
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            self._stop(_BAD_REQUEST, f"expected one Host header, got {len(hosts)}")
        if hosts and not _HOST.fullmatch(hosts[0].strip(b" \t")):
            self._stop(_BAD_REQUEST, "expected a Host header with a name or an address, got what is none")
        if codings:
            if version == "1.0":
                self._stop(_BAD_REQUEST, "expected no Transfer-Encoding in HTTP/1.0, got one")
            if len(codings) > 1 or codings[0].strip(b" \t").lower() != b"chunked":
                self._stop(_BAD_REQUEST, "expected Transfer-Encoding: chunked or none, got another")
        # HTTP/1.0 has none: it is ignored (RFC 9110, section 10.1.1).
        if expectations and version == "1.1":
            if any(each.strip(b" \t") != b"100-continue" for each in expectations):
                self._stop(_EXPECTATION_FAILED, "expected Expect: 100-continue or none, got another")
            self.expect_100_continue = True

    def _note_target(self, method: str) -> None:
        """Note path and query of the request's target; the host of a whole URL counts before that of the header."""
        if b"#" in self.url:
            self._stop(_BAD_REQUEST, "expected a target without a fragment, got one")
        if (absolute := _ABSOLUTE.match(self.url)) is not None:
            host = absolute[1]
            if not host or not _HOST.fullmatch(host):
                self._stop(_BAD_REQUEST, "expected a URL with a host, got another")
            self.headers[:] = [*(pair for pair in self.headers if pair[0] != b"host"), (b"host", host)]
        elif not self.url.startswith(b"/") and (self.url, method) != (b"*", "OPTIONS"):
            self._stop(_BAD_REQUEST, "expected a target that is a path or a URL of http, got another")
        url = httptools.parse_url(self.url)
        raw = url.path or b"/"
        scope: MutableMapping[str, Any] = self.scope  # type: ignore[assignment]
        scope["raw_path"] = raw
        scope["path"] = unquote(raw.decode("ascii"))
        scope["query_string"] = url.query or b""


def _has_length(message: Any) -> bool:
    return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))

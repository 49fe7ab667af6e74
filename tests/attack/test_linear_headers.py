"""What reads headers, URLs and other text of clients takes a time that grows no faster than the text."""

import asyncio
import gc
import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import orjson
import pytest
from fastapi import Request
from starlette.datastructures import Headers

from models.errors import HammingwayError
from models.versions import NAME
from service.collections.collections import Collections
from service.filters import parse_filter
from service.http.layers.held import HeldBytes
from service.http.layers.request_ids import RequestIds
from service.http.layers.web_pages import is_local
from service.http.replies.code_formats import read_code
from service.http.requests import multipart, ndjson, structure
from service.http.requests.body import Body, parse
from service.http.requests.cursors import read_cursor
from service.http.requests.inflating import content_encoding
from service.http.requests.parameters import MOST_PARAMETERS
from service.http.requests.preferences import prefers
from service.http.schemas.items import IndexRequest
from service.http.schemas.search import SearchRequest
from service.keys import parse_keys
from service.numbers import is_whole
from service.telemetry import traces
from service.telemetry.logs import configuration
from tests.attack.watching import watched_liveness
from tests.serving import Process

HEAD_BYTES = 100_000
BODY_BYTES = 300_000
# Twice the text may take twice the time, and what the machine does beside it; a square would be four times.
MOST_RATIO = 3.0
SLACK_SECONDS = 0.004
TRIALS = 9


def _request(content_type: str) -> Request:
    return Request({"type": "http", "headers": [(b"content-type", content_type.encode("latin-1"))]})


def _body(content: bytes) -> Body:
    return Body(content, HeldBytes(2**40, "bodies").charge(), 2**40)


def _parts(content: bytes) -> object:
    return multipart.parts(content, b"b", 2**30)


async def _batches(content: bytes, step: int) -> None:
    async def chunks() -> Any:
        for start in range(0, len(content), step):
            yield content[start : start + step]

    watch = SimpleNamespace(hold=lambda count: None, line_ended=lambda: None)
    async for _ in ndjson.read_batches(chunks(), 2**40, cast(ndjson.Watch, watch)):
        pass


def _lines(content: bytes) -> object:
    limits = ndjson.Limits(2**40, 2**17)
    collections = SimpleNamespace(upsert_usable=lambda name, items, going: {})
    batch = ndjson.Batch(1, content.split(b"\n"))
    charge = HeldBytes(2**40, "bodies").charge()
    return ndjson.index_batch(cast(Collections, collections), "c", batch, limits, charge)


HEADERS: dict[str, tuple[Callable[[str], object], str]] = {
    "quoted preference": (lambda text: prefers(['"' + text], "respond-async"), '\\"'),
    "preference with quotes": (lambda text: prefers([text], "respond-async"), '"'),
    "preferences": (lambda text: prefers([text], "respond-async"), ',a="b"'),
    "preferences in many headers": (lambda text: prefers(text.split(";"), "respond-async"), '";'),
    "content type": (lambda text: multipart.boundary(_request(f'multipart/form-data; boundary="{text}')), '\\";'),
    "content type with blanks": (lambda text: multipart.boundary(_request(f"multipart/form-data;{text}")), " "),
    "content type, another": (lambda text: multipart.boundary(_request(text)), '";'),
    "encodings": (lambda text: content_encoding(Headers({"content-encoding": text})), "identity ,"),
    "encoding with blanks": (lambda text: content_encoding(Headers({"content-encoding": text})), " "),
    "host": (lambda text: is_local(text.encode()), "1:"),
    "host with dots": (lambda text: is_local(text.encode()), "1."),
    "request id": (lambda text: RequestIds().note({"headers": [(b"x-request-id", text.encode())]}), "a"),
    "name": (NAME.fullmatch, "a"),
    "number": (is_whole, "1"),
    "cursor": (lambda text: read_cursor("c", text), "aaaa"),
    "cursor of dashes": (lambda text: read_cursor("c", text), "-"),
    "code of bits": (lambda text: read_code(text, 64, "bits"), "01"),
    "code in hex": (lambda text: read_code(text, 64, "hex"), "0f"),
    "filter of dots": (lambda text: parse_filter({"." + text: 1}), "."),
    "keys": (parse_keys, "read:" + "0" * 64 + ","),
}
PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
BODIES: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "backslashes": (lambda text: structure.count_values(b'["' + text + b'"]', 2**40), b"\\\\"),
    "quotes": (lambda text: structure.count_values(b"[" + text + b"1]", 2**40), b'"",'),
    "lists": (lambda text: structure.members(b'{"items":[' + text + b"1]}", {"items": 2**40}, 2**40), b"[],"),
    "names": (lambda text: parse(SearchRequest, _body(b'{"x":1' + text + b"}")), b',"x":1'),
    "names in an item": (lambda text: parse(IndexRequest, _body(b'{"items":[{"x":1' + text + b"}]}")), b',"y":1'),
    "items": (lambda text: parse(IndexRequest, _body(b'{"items":[' + text + b"1]}"), items=2**40), b"{},"),
    "boundaries": (lambda text: _parts(PART + text), b"\r\n--bx"),
    "ends of lines": (lambda text: _parts(PART + text), b"\r\n"),
    "a header of a part": (lambda text: _parts(b"--b\r\nA: " + text), b'";'),
    "headers of a part": (lambda text: _parts(b"--b\r\n" + text), b"A: b\r\n"),
    "parts": (
        lambda text: _parts(b"--b\r\n" + text),
        b'Content-Disposition: form-data; name="a"\r\n\r\n\r\n--b\r\n',
    ),
    "blank lines": (lambda text: asyncio.run(_batches(text, 2**16)), b"\n"),
    "a line in small chunks": (lambda text: asyncio.run(_batches(text, 100)), b"a"),
    "short lines": (lambda text: asyncio.run(_batches(text, 2**16)), b"a\n"),
    "lines that are none": (_lines, b"{}\n"),
}


def _seconds(call: Callable[[Any], object], text: object) -> float:
    """The least that it takes of the processor, without the search for garbage, which depends on all else there is."""
    best = float("inf")
    gc.disable()
    try:
        for _ in range(TRIALS):
            started = time.thread_time()
            with suppress(HammingwayError):
                call(text)
            best = min(best, time.thread_time() - started)
    finally:
        gc.enable()
    return best


@pytest.mark.parametrize("name", HEADERS)
def test_text_of_a_head_is_read_in_a_time_that_grows_with_it(name: str) -> None:
    call, unit = HEADERS[name]
    is_local.cache_clear()
    half, whole = (_seconds(call, unit * (length // len(unit))) for length in (HEAD_BYTES // 2, HEAD_BYTES))
    print(f"{name}: {half * 1000:.2f} ms, twice as long {whole * 1000:.2f} ms")
    assert whole < MOST_RATIO * half + SLACK_SECONDS
    assert whole < 0.2


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_read_in_a_time_that_grows_with_it(name: str) -> None:
    call, unit = BODIES[name]
    half, whole = (_seconds(call, unit * (length // len(unit))) for length in (BODY_BYTES // 2, BODY_BYTES))
    print(f"{name}: {half * 1000:.1f} ms, twice as long {whole * 1000:.1f} ms")
    assert whole < MOST_RATIO * half + SLACK_SECONDS


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("headers")
    process = Process(folder / "hashers", folder / "data")
    process.client.put("/v1/collections/c", json={"bits": 8}).raise_for_status()
    yield process
    process.stop()


ITEMS = "/v1/collections/c/items"
# The start of a request's head, up to the value of its last header.
REQUESTS = {
    "Prefer": ("POST /v1/collections/c/snapshots", "Prefer", '"', '\\"'),
    "Content-Type": ("POST /v1/collections/c/index", "Content-Type", 'multipart/form-data; boundary="', '\\";'),
    "Content-Encoding": ("POST /v1/collections/c/search", "Content-Encoding", "", ","),
    "Accept-Encoding": ("GET /docs", "Accept-Encoding", "", "gzip;q=0.1,"),
    "Accept": ("GET /v1/models", "Accept", "", "*/*;"),
    "Cookie": ("GET /v1/models", "Cookie", "", 'a="\\;'),
    "Authorization": ("GET /v1/models", "Authorization", "Bearer ", " a"),
    "If-None-Match": ("GET /static-offline-docs/swagger-ui.css", "If-None-Match", "", 'W/"a",'),
    "If-Modified-Since": ("GET /static-offline-docs/swagger-ui.css", "If-Modified-Since", "", "Mon, "),
    "Range": ("GET /static-offline-docs/swagger-ui.css", "Range", "bytes=", "0-1,"),
    "Origin": ("POST /v1/collections/c/search", "Origin", "http://", "a."),
    "X-Forwarded-For": ("GET /v1/models", "X-Forwarded-For", "", "127.0.0.1,"),
    "X-Forwarded-For of brackets": ("GET /v1/models", "X-Forwarded-For", "", "["),
    "X-Forwarded-Proto": ("GET /v1/models", "X-Forwarded-Proto", "", "https,"),
    "X-Request-ID": ("GET /v1/models", "X-Request-ID", "", "a"),
    "traceparent": ("GET /v1/models", "traceparent", "00-", "0"),
    "tracestate": ("GET /v1/models", "tracestate", "a=b", " "),
    "Connection": ("GET /v1/models", "Connection", "", "a,"),
    "TE": ("GET /v1/models", "TE", "", "trailers,"),
    "a header's name": ("GET /v1/models", "X" * 1000, "", "\t"),
}
TARGETS = {
    "parameters": f"{ITEMS}?" + "with=code&" * 6000,
    "names of parameters": f"{ITEMS}?" + "&".join(f"a{number}" for number in range(9000)),
    "ends of parameters": f"{ITEMS}?" + "&" * 60_000,
    "a parameter": f"{ITEMS}?limit=" + "1" * 60_000,
    "a boolean": "/v1/collections/c/stats?codes=" + "t" * 60_000,
    "a cursor": f"{ITEMS}?cursor=" + "a" * 60_000,
    "a filter": f"{ITEMS}?filter=" + "[" * 60_000,
    "a filter of dots": f"{ITEMS}?filter=" + quote('{"' + "." * 10_000 + '":1}'),
    "an id": f"{ITEMS}/" + "a" * 60_000,
    "an id of escapes": f"{ITEMS}/" + "%C3%A9" * 10_000,
    "an id of slashes": f"{ITEMS}/" + "/" * 60_000,
    "a path of slashes": "/" * 60_000,
    "a path of percents": "/" + "%" * 60_000,
    "a collection": "/v1/collections/" + "a" * 60_000,
    "a hasher": "/v1/models/" + "a@" * 30_000,
    "a job": "/v1/jobs/" + "1" * 60_000,
    "a file": "/static-offline-docs/" + "../" * 20_000,
}


def _answered(serving: Process, request: bytes) -> tuple[int, float]:
    """The status of the answer, and the seconds until it came."""
    port = serving.client.base_url.port
    assert port is not None
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
    return int(answer.split()[1]), time.monotonic() - started


def test_no_head_stops_the_event_loop(serving: Process) -> None:
    requests = {
        name: f"{start} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n"
        f"{header}: {before}{unit * ((HEAD_BYTES - len(before)) // len(unit))}\r\n\r\n".encode()
        for name, (start, header, before, unit) in REQUESTS.items()
    }
    requests |= {
        name: f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        for name, target in TARGETS.items()
    }
    requests["many headers"] = (
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"a%d:\r\n" % n for n in range(14_000)) + b"\r\n"
    )
    with watched_liveness(serving.url) as live:
        found = {name: _answered(serving, request) for name, request in requests.items()}
    slowest = max(found, key=lambda name: found[name][1])
    print(f"{slowest}: {found[slowest][1]:.3f} s; /livez at most {live.longest * 1000:.0f} ms")
    assert all(200 <= status < 500 for status, _ in found.values()), found
    assert found[slowest][1] < 2
    assert live.longest < 1.5


def test_more_parameters_than_any_operation_knows(serving: Process) -> None:
    url = f"{ITEMS}?" + "&".join(["with=code"] * MOST_PARAMETERS)
    assert serving.client.get(url).status_code == 200
    reply = serving.client.get(f"{url}&with=code")
    assert reply.status_code == 422
    assert reply.json()["detail"] == "URL: expected at most 100 parameters, got 101"
    many = "&".join(f"a{number}" for number in range(90))
    problem = serving.client.get(f"{ITEMS}?{many}").json()
    assert len(problem["errors"]) == 20
    assert "(and 89 more)" in problem["detail"]


def test_a_traced_request_passes_over_a_context_that_is_too_long() -> None:
    from service.http.layers.tracing import LONGEST_CONTEXT, Trace

    seen: list[dict[str, str]] = []

    class StopError(Exception):
        pass

    def request(method: str, headers: dict[str, str], told: object) -> None:
        seen.append(headers)
        raise StopError

    layer = Trace(cast(Any, None), cast(traces.Traces, SimpleNamespace(request=request)))
    for size in (LONGEST_CONTEXT, LONGEST_CONTEXT + 1):
        scope = {
            "method": "GET",
            "path": "/",
            "scheme": "http",
            "http_version": "1.1",
            "request_id": "a",
            "headers": [(b"tracestate", b" " * size)],
        }
        with pytest.raises(StopError):
            asyncio.run(layer(scope, cast(Any, None), cast(Any, None)))
    assert [len(each.get("tracestate", "")) for each in seen] == [LONGEST_CONTEXT, 0]


def test_what_is_logged_is_searched_for_keys_in_a_time_that_grows_with_it() -> None:
    from service.telemetry.logs import _KEY

    assert configuration("info", "text")
    for unit in ("hw_", "hw_a ", "hw", "hw_" + "a" * 19 + " "):
        half, whole = (
            _seconds(lambda text: _KEY.sub("", text), unit * (length // len(unit)))
            for length in (HEAD_BYTES // 2, HEAD_BYTES)
        )
        assert whole < MOST_RATIO * half + SLACK_SECONDS


def test_a_body_of_names_is_answered_soon(serving: Process) -> None:
    content = orjson.dumps({f"n{number}": 0 for number in range(60_000)})
    headers = {"Content-Encoding": "gzip"}
    with watched_liveness(serving.url) as live:
        reply = serving.client.post("/v1/collections/c/search", content=gzip.compress(content, 1), headers=headers)
    assert reply.status_code == 422
    assert "(and 59999 more)" in reply.json()["detail"]
    assert live.longest < 1.5

"""Requests that no client library sends, byte by byte over a socket: each gets a problem detail, or an answer."""

import json
import socket
import struct
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.serving import Process


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The server as users start it: in the other tests it is uvicorn's own, without what is ours of it."""
    folder = tmp_path_factory.mktemp("strange")
    process = Process(folder / "none", folder / "data")
    process.client.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
    yield process
    process.stop()


def _send(serving: Process, request: bytes) -> tuple[int, dict[str, str], bytes]:
    where = httpx.URL(serving.url)
    with socket.create_connection((str(where.host), where.port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received and (part := connection.recv(65536)):
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)) and (part := connection.recv(65536)):
            body += part
    return int(status.split()[1]), headers, body


def _request(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode("latin-1")


MALFORMED = {
    "not HTTP": b"what is this?\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32,
    "a version there is not": _request("GET /livez HTTP/9.9"),
    "a method there is not": _request("FETCH /livez HTTP/1.1"),
    "a header without a colon": _request("GET /livez HTTP/1.1", "nonsense"),
    "a length that is none": _request("POST /v1/encode HTTP/1.1", "Content-Length: many"),
    "two lengths": _request("POST /v1/encode HTTP/1.1", "Content-Length: 2", "Content-Length: 3"),
    "a length and chunks": _request("POST /v1/encode HTTP/1.1", "Content-Length: 2", "Transfer-Encoding: chunked"),
    "a chunk that is none": _request("POST /v1/encode HTTP/1.1", "Transfer-Encoding: chunked") + b"zz\r\n\r\n",
    "a NUL in a header": _request("GET /livez HTTP/1.1", "X-A: \0"),
}


def test_what_is_refused_before_it_is_a_request_is_counted(serving: Process) -> None:
    refused = 'hammingway_requests_total{method="none",route="none",status="400"}'
    gone = 'hammingway_requests_total{method="POST",route="/v1/encode",status="499"}'
    before = _count(serving, refused), _count(serving, gone)
    assert _send(serving, MALFORMED["not HTTP"])[0] == 400
    assert _count(serving, refused) == before[0] + 1
    # The application has begun with it, and counts it, once.
    assert _send(serving, MALFORMED["a chunk that is none"])[0] == 400
    deadline = time.monotonic() + 20
    while _count(serving, gone) == before[1]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (_count(serving, refused), _count(serving, gone)) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_http_is_told_so(serving: Process, name: str) -> None:
    status, headers, body = _send(serving, MALFORMED[name])
    problem = json.loads(body)
    assert (status, problem["status"]) == (400, 400)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert problem["request_id"] == headers["x-request-id"] != ""
    assert f"request {problem['request_id']}: " in serving.log.read_text()
    assert "expected" in problem["detail"] and problem["errors"][0]["where"]
    assert serving.client.get("/livez").is_success


def test_what_is_no_http_has_the_callers_id_and_no_other_requests(serving: Process) -> None:
    told = _request("POST /v1/encode HTTP/1.1", "X-Request-ID: mine-9", "Content-Length: many")
    assert _send(serving, told)[1]["x-request-id"] == "mine-9"
    # What the application has begun with, before its body turned out to be none.
    _, headers, body = _send(
        serving, _request("POST /v1/encode HTTP/1.1", "X-Request-ID: mine-8", "Transfer-Encoding: chunked") + b"zz\r\n"
    )
    assert headers["x-request-id"] == json.loads(body)["request_id"] == "mine-8"
    where = httpx.URL(serving.url)
    ids = []
    with socket.create_connection((str(where.host), where.port), timeout=20) as connection:
        for request in (_request("GET /livez HTTP/1.1", "X-Request-ID: mine-7"), b"\0what is this?\r\n\r\n"):
            connection.sendall(request)
            head = connection.recv(65536).decode("latin-1").lower()
            ids.append(head.partition("x-request-id: ")[2].partition("\r\n")[0])
    assert ids[0] == "mine-7" != ids[1] != ""


ODD = {
    "an unknown path": ("GET /nope HTTP/1.1", 404),
    "two slashes": ("GET //v1/collections HTTP/1.1", 404),
    "a slash at the end": ("GET /v1/collections/ HTTP/1.1", 404),
    "a percent sign alone": ("GET /v1/collections/% HTTP/1.1", 404),
    "percent and no hex": ("GET /v1/collections/%zz HTTP/1.1", 404),
    "a path that is not UTF-8": ("GET /v1/collections/%ff HTTP/1.1", 404),
    "a query that is not UTF-8": ("GET /v1/collections/own/items?cursor=%ff%fe HTTP/1.1", 422),
    "a query without sense": ("GET /v1/collections/own/items?&&=&limit HTTP/1.1", 422),
    "a parameter twice": ("GET /v1/collections/own/items?limit=1&limit=nope HTTP/1.1", 422),
    "another method": ("PUT /livez HTTP/1.1", 405),
    "a question of methods": ("OPTIONS /v1/collections/own HTTP/1.1", 405),
    "a question of methods of all": ("OPTIONS * HTTP/1.1", 404),
    "tracing": ("TRACE /livez HTTP/1.1", 405),
    "an absolute target": ("GET http://localhost/nope HTTP/1.1", 404),
    "an absolute target of another name": ("GET http://elsewhere/livez/nope HTTP/1.1", 403),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests_are_problem_details(serving: Process, name: str) -> None:
    line, expected = ODD[name]
    status, headers, body = _send(serving, _request(line))
    assert status == expected, body
    problem = json.loads(body)
    assert headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["request_id"] == headers["x-request-id"]
    assert "expected" in problem["detail"]


def test_allow_names_all_methods_of_a_path(serving: Process) -> None:
    for path, methods in (
        ("/livez", {"GET", "HEAD"}),
        ("/v1/collections", {"GET", "HEAD"}),
        ("/v1/collections/own", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("/v1/collections/own/items/a", {"GET", "HEAD", "DELETE"}),
        ("/v1/collections/own/search", {"POST"}),
    ):
        reply = serving.client.request("OPTIONS", path)
        assert reply.status_code == 405
        assert set(reply.headers["allow"].split(", ")) == methods
        assert f"expected one of {reply.headers['allow']}, got OPTIONS {path}" == reply.json()["detail"]


def test_a_head_request_has_the_headers_of_an_error_and_no_body(serving: Process) -> None:
    reply = serving.client.head("/v1/collections/nope")
    assert (reply.status_code, reply.content) == (404, b"")
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("part", "most"),
    [(b"a" * 2**14, "headers of at most 131072 bytes"), (b"X-Header: a\r\n" * 2**10, "at most 256 headers")],
    ids=["one", "many"],
)
def test_headers_without_end_are_cut_off(serving: Process, part: bytes, most: str) -> None:
    where = httpx.URL(serving.url)
    sent, received = 0, b""
    with socket.create_connection((str(where.host), where.port), timeout=20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nX-Request-ID: long-1\r\nX-Long: ")
        while not received and sent < 2**24:
            try:
                connection.sendall(part)
                sent += len(part)
                connection.settimeout(0.01)
                received = connection.recv(65536)
            except TimeoutError:
                connection.settimeout(20)
            except OSError:
                break
    # A reply may be lost where more was under way: the log has it.
    assert sent < 2**22
    assert f"request long-1: expected {most}, got more" in serving.log.read_text()
    if received:
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert json.loads(body)["detail"] == f"request: expected {most}, got more"
    assert serving.client.get("/livez").is_success
    assert _count(serving, 'hammingway_requests_total{method="none",route="none",status="431"}') > 0


def test_headers_that_are_as_long_as_allowed_are_taken(serving: Process) -> None:
    where = httpx.URL(serving.url)
    with socket.create_connection((str(where.host), where.port), timeout=20) as connection:
        # In parts, and once more on the same connection: each is counted by itself.
        for _ in range(3):
            for part in (b"GET /livez HTTP/1.1\r\nHost: here\r\nX-Long: ", *[b"a" * 2**14] * 7, b"\r\n\r\n"):
                connection.sendall(part)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        # A body is another matter.
        body = b" " * 2**18
        connection.sendall(_request("POST /v1/encode HTTP/1.1", f"Content-Length: {len(body)}"))
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_the_parts_of_the_page_for_people_are_refused_as_all_else(serving: Process) -> None:
    path = "/static-offline-docs/favicon.png"
    reply = serving.client.post(path)
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
    assert reply.json()["detail"] == f"expected one of GET, HEAD, got POST {path}"
    whole = serving.client.get(path)
    for asked in ("bytes=0-0", "bytes=99999999-", "nonsense"):
        reply = serving.client.get(path, headers={"Range": asked})
        assert (reply.status_code, reply.content) == (200, whole.content)
    missing = serving.client.get("/static-offline-docs/nope.js")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


PARTS = {
    "/v1/collections/own/search": ("/v1/collections/{collection}/search", "application/json"),
    "/v1/collections/own/index": ("/v1/collections/{collection}/index", "application/x-ndjson"),
    "/v1/encode": ("/v1/encode", "application/json"),
}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("path", PARTS)
def test_a_client_that_goes_away_within_its_body_is_no_mistake_of_the_service(
    serving: Process, path: str, encoding: str
) -> None:
    route, media_type = PARTS[path]
    counted = f'hammingway_requests_total{{method="POST",route="{route}",status="499"}}'
    before, logged = _count(serving, counted), len(serving.log.read_text())
    where = httpx.URL(serving.url)
    head = _request(
        f"POST {path} HTTP/1.1", f"Content-Type: {media_type}", f"Content-Encoding: {encoding}", "Content-Length: 9"
    )
    with socket.create_connection((str(where.host), where.port), timeout=20) as connection:
        connection.sendall(head)
        # Reset when it is closed.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    deadline = time.monotonic() + 20
    while _count(serving, counted) == before:
        assert time.monotonic() < deadline, serving.client.get("/metrics").text
        time.sleep(0.02)
    assert _count(serving, counted) == before + 1
    assert "ERROR" not in serving.log.read_text()[logged:]


def _count(serving: Process, counted: str) -> float:
    lines = serving.client.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(counted)) for line in lines if line.startswith(counted))

"""Traces as a collector gets them, over a real socket: what is told of a request, and what is not."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from models.errors import InvalidInputError
from service.__main__ import main
from service.keys import Role, line, new_key
from service.settings import Settings
from service.telemetry.traces import require_installed
from tests.serving import Process, free_port, running

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "a secret text"


class Collector:
    """A small OTLP collector: what came, as it came."""

    def __init__(self) -> None:
        bodies: list[tuple[str, bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *told: object) -> None:
                pass

        self.bodies = bodies
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def resources(self) -> list[dict[str, Any]]:
        """The attributes of what sent."""
        return [_values(each.resource.attributes) for _, body in self.bodies for each in _parsed(body).resource_spans]

    def spans(self) -> list[Span]:
        """All that came so far."""
        return [
            span
            for _, body in self.bodies
            for resource in _parsed(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _parsed(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return request


def _values(attributes: Any) -> dict[str, Any]:
    told = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        told[each.key] = [part.string_value for part in value.values] if kind == "array_value" else value
    return told


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def _settings(tmp_path: Path, collector: Collector, **more: Any) -> Settings:
    return Settings(hashers=tmp_path / "none", data=tmp_path / "data", traces_endpoint=collector.url, **more)


def _children(spans: list[Span], parent: Span) -> list[str]:
    return [span.name for span in spans if span.parent_span_id == parent.span_id]


def test_a_request_is_a_span_with_its_stages_and_joins_the_trace_of_its_caller(
    tmp_path: Path, collector: Collector
) -> None:
    key = new_key()
    calling = {
        "Authorization": f"Bearer {key}",
        "traceparent": f"00-{TRACE}-{PARENT}-01",
        "tracestate": "vendor=7",
        "X-Request-ID": "mine-1",
    }
    with running(_settings(tmp_path, collector, keys=line(Role.ADMIN, key))) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        client.put("/v1/collections/own", json={"bits": 16}).raise_for_status()
        item = {"id": "a1", "code": "00ff", "payload": {"note": SECRET}}
        client.post("/v1/collections/own/index", json={"items": [item]}).raise_for_status()
        asked = {"query": {"code": "00fe"}, "filter": {"note": SECRET}}
        found = client.post("/v1/collections/own/search", json=asked, headers=calling).json()["results"]
        assert [(each["id"], each["distance"]) for each in found] == [("a1", 1)]
        client.get("/v1/collections/own/items", params={"filter": f'{{"note": "{SECRET}"}}'}).raise_for_status()
        assert client.get("/v1/collections/nope").status_code == 404
        assert client.get("/livez").is_success
    assert {path for path, _ in collector.bodies} == {"/v1/traces"}
    assert {each["service.name"] for each in collector.resources()} == {"hammingway"}
    spans = collector.spans()
    requests = {span.name: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}
    assert requests.keys() == {
        "PUT /v1/collections/{collection}",
        "POST /v1/collections/{collection}/index",
        "POST /v1/collections/{collection}/search",
        "GET /v1/collections/{collection}/items",
        "GET /v1/collections/{collection}",
    }
    search = requests["POST /v1/collections/{collection}/search"]
    assert (search.trace_id.hex(), search.parent_span_id.hex(), search.trace_state) == (TRACE, PARENT, "vendor=7")
    told = _values(search.attributes)
    assert told.pop("server.port") > 0
    assert told == {
        "http.request.method": "POST",
        "http.route": "/v1/collections/{collection}/search",
        "http.response.status_code": 200,
        "http.response.header.x-request-id": ["mine-1"],
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "url.path": "/v1/collections/own/search",
        "url.scheme": "http",
    }
    assert {"catch_up", "encode", "index"} <= set(_children(spans, search))
    assert {"encode", "store"} == set(_children(spans, requests["POST /v1/collections/{collection}/index"]))
    for span in spans:
        if span.parent_span_id == search.span_id:
            assert span.trace_id == search.trace_id
            assert search.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    # Another's trace is not taken for the next request's, and a caller's mistake is no failure of the service.
    assert {span.trace_id.hex() for span in requests.values()} - {TRACE} and len(
        {s.trace_id for s in requests.values()}
    ) == 5
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_UNSET}
    for _, body in collector.bodies:
        assert SECRET.encode() not in body and key.encode() not in body


def test_searches_that_are_answered_together_have_their_stages_each(tmp_path: Path, collector: Collector) -> None:
    with running(_settings(tmp_path, collector, threads=1)) as client:
        client.put("/v1/collections/own", json={"bits": 16}).raise_for_status()

        def search(number: int) -> int:
            return client.post("/v1/collections/own/search", json={"query": {"code": f"{number:04x}"}}).status_code

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(search, range(40))) == {200}
    spans = collector.spans()
    searches = [span for span in spans if span.name.endswith("/search")]
    assert len(searches) == 40
    for span in searches:
        assert "encode" in _children(spans, span)


def test_what_the_caller_does_not_sample_is_not_sent(tmp_path: Path, collector: Collector) -> None:
    with running(_settings(tmp_path, collector)) as client:
        client.get("/v1/collections", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"}).raise_for_status()
        client.get("/version", headers={"traceparent": "nonsense"}).raise_for_status()
    (span,) = collector.spans()
    assert span.name == "GET /version"
    assert span.parent_span_id == b""


def test_a_failure_of_the_service_is_marked(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.collections.collections.Collections.all", lambda collections: 1 / 0)
    with running(_settings(tmp_path, collector)) as client:
        assert client.get("/v1/collections").status_code == 500
    (span,) = collector.spans()
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert _values(span.attributes)["error.type"] == "500"
    assert _values(span.attributes)["http.response.status_code"] == 500


def test_a_collector_that_is_away_holds_up_nothing(tmp_path: Path) -> None:
    serving = Process(tmp_path, tmp_path / "data", "--traces-endpoint", f"http://127.0.0.1:{free_port()}/v1/traces")
    assert serving.client.put("/v1/collections/own", json={"bits": 16}).status_code == 201
    serving.stop()
    assert "Traceback" not in serving.log.read_text()


def test_nothing_is_imported_where_nobody_asks_for_it(tmp_path: Path) -> None:
    program = (
        "import sys, service.process.stopping\n"
        "from service.app import create_app\n"
        "from service.settings import Settings\n"
        "create_app(Settings())\n"
        "ours = ('service.telemetry.traces', 'service.http.layers.tracing')\n"
        "ours += ('opentelemetry.sdk', 'opentelemetry.exporter', 'requests')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_without_the_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(InvalidInputError, match=r"pip install '\.\[otel\]'"):
        require_installed()
    asked = ["--traces-endpoint", "http://127.0.0.1:4318/v1/traces", "--data", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", ["service", *asked])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "expected OpenTelemetry to be installed" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(sys, "argv", ["service", "--traces-endpoint", "collector:4318"])
    with pytest.raises(SystemExit):
        main()
    assert "traces_endpoint" in capsys.readouterr().err

"""Traces that go on from the caller's span into the service's."""

import subprocess
import sys

import pytest
from opentelemetry import trace

from tests.service.client.conftest import Make
from tests.service.client.misbehaving import answer, misbehaving

TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
COLLECTION = '{"name": "c", "bits": 8, "hasher": null, "count": 0, "index": {"kind": "flat"}, "keep_features": "none"}'


def _told(request: str) -> list[str]:
    return [line for line in request.lower().splitlines() if line.startswith(("traceparent:", "tracestate:"))]


@pytest.mark.parametrize("compress", [True, False])
def test_a_call_names_the_span_that_it_is_made_in_at_each_attempt(make: Make, compress: bool) -> None:
    state = trace.TraceState([("vendor", "7")])
    context = trace.SpanContext(TRACE, SPAN, is_remote=False, trace_flags=trace.TraceFlags(1), trace_state=state)
    with misbehaving([answer(503), answer(200, COLLECTION), answer(200, COLLECTION)]) as server:
        client = make(server.url, compress=compress)
        with trace.use_span(trace.NonRecordingSpan(context)):
            client.create_collection("c", bits=8)
        client.collection("c")
    told = [f"traceparent: 00-{TRACE:032x}-{SPAN:016x}-01", "tracestate: vendor=7"]
    assert [_told(request) for request in server.requests] == [told, told, []]


def test_nothing_of_it_is_imported_where_the_caller_does_not() -> None:
    program = (
        "import sys; from service.client import Client\n"
        "print(Client('http://127.0.0.1:9').ready(), [name for name in sys.modules if 'opentelemetry' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n") == ["False []", ""]

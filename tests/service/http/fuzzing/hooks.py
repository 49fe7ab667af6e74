"""What Schemathesis is given to work with: items to find, a media type to write, and one more check."""

import os
import re
from typing import Any

import requests
import schemathesis
from schemathesis.generation.meta import TestPhase

BASE = os.environ["FUZZED"]
COLLECTION = f"{BASE}/v1/collections/pydocs"
ITEMS = [
    {"id": "a1", "text": "red running shoes", "payload": {"price": 30}},
    {"id": "a2", "text": "sort a list in place"},
    {"id": "b7", "text": "a dictionary of words"},
]
OTHERS_WORDS = re.compile(r"Input should|Field required|Extra inputs|should have at|\bNone\b|\bTrue\b|\bFalse\b")
session = requests.Session()
if "FUZZED_WITH" in os.environ:
    session.headers["Authorization"] = f"Bearer {os.environ['FUZZED_WITH']}"


def fill() -> None:
    """The collection that the document's examples name, as it was at first."""
    session.put(COLLECTION, json={"hasher": "pydocs"})
    session.post(f"{COLLECTION}/index", json={"items": ITEMS}).raise_for_status()


fill()


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Put back what was changed, so that there is something to find for the next one."""
    if case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL:
        # There it is looked whether what was deleted is gone.
        return
    if response.status_code < 300 and (case.method.upper() in ("DELETE", "PATCH") or case.path.endswith("/delete")):
        fill()


@schemathesis.serializer("application/x-ndjson")
def ndjson(context: Any, value: Any) -> bytes:
    """Text, as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.check
def every_error_is_a_problem_detail(context: Any, response: Any, case: Any) -> None:
    """It says what was expected, and where, in the service's own words."""
    if response.status_code < 400 or case.method.upper() == "HEAD":
        return
    assert response.headers["content-type"] == ["application/problem+json"], response.headers
    problem = response.json()
    assert problem["status"] == response.status_code
    assert "expected" in problem["detail"], problem
    assert [problem["request_id"]] == response.headers["x-request-id"]
    if response.status_code in (400, 413, 415, 422):
        assert problem["errors"], problem
    for fault in problem["errors"]:
        # Of a line of NDJSON the place within it comes first.
        assert fault["where"] and re.match(r"(\S+: )?expected", fault["detail"]), problem
        assert not OTHERS_WORDS.search(fault["detail"].partition(", got ")[0]), problem

"""Every endpoint has its call in the client, and no call goes where there is none."""

import re

from service.app import create_app
from service.client import calls
from service.settings import Settings

# For load balancers and Prometheus.
NOT_FOR_CLIENTS = {("GET", "/livez"), ("GET", "/metrics")}
CALLS = (
    calls.ready(),
    calls.version(),
    calls.models(),
    calls.model("X"),
    calls.encode("X", [], "hex", False),
    calls.decode("X", [], "hex", None, None),
    calls.collections(),
    calls.collection("X"),
    calls.create_collection("X", bits=8),
    calls.change_collection("X", {}),
    calls.delete_collection("X"),
    calls.stats("X", False),
    calls.drift("X", None),
    calls.snapshot("X"),
    calls.begin_snapshot("X"),
    calls.recode("X", "X", "manual"),
    calls.recoding("X"),
    calls.switch("X", False),
    calls.roll_back("X"),
    calls.finish("X"),
    calls.jobs(None, None, None),
    calls.job("X"),  # type: ignore[arg-type]
    calls.cancel("X"),  # type: ignore[arg-type]
    calls.index("X", []),
    calls.index_lines("X", []),
    calls.search("X", {}),
    calls.search_many("X", []),
    calls.duplicates("X", 1, None),
    calls.compare("X", {}, {}),
    calls.item("X", "X", None),
    calls.page("X", None, None, None, None),
    calls.delete_item("X", "X"),
    calls.delete("X", [], None),
)


def test_every_endpoint_has_a_call_and_every_call_an_endpoint() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    there = {
        (method.upper(), re.sub(r"{\w+}", "X", path)) for path, operations in paths.items() for method in operations
    }
    assert {(call.method, call.path) for call in CALLS} == there - NOT_FOR_CLIENTS

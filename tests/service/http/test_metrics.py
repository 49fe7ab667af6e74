"""Metrics: what is counted is what was sent, by one process and by several together."""

import gzip
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.collections.collections import Collections
from service.collections.embedded import EmbeddedMoments
from service.settings import Settings
from service.store.open_reads import OpenReads
from tests.serving import Process, client_of, running

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
SEARCH = "/v1/collections/{collection}/search"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("metrics")
    return Settings(hashers=folder / "none", data=folder / "data")


@pytest.fixture(scope="module", autouse=True)
def own(client: httpx.Client) -> None:
    assert client.put("/v1/collections/own", json={"bits": 8}).status_code == 201


def _read(client: httpx.Client) -> Samples:
    """All samples by name and labels, but for the process's number."""
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    found: Samples = {}
    for family in text_string_to_metric_families(reply.text):
        assert family.documentation
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "pid"}
            key = (sample.name, frozenset(labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def test_requests_are_counted_by_route_method_and_status(client: httpx.Client) -> None:
    before = _read(client)
    sent: Counter[tuple[str, str, str]] = Counter()
    for method, path, route, body, status in (
        ("POST", "/v1/collections/own/search", SEARCH, {"query": {"code": "00"}}, 200),
        ("POST", "/v1/collections/own/search", SEARCH, {"query": {"code": "01"}}, 200),
        ("POST", "/v1/collections/own/search", SEARCH, {"query": {"code": "1"}}, 422),
        ("POST", "/v1/collections/own/search?limt=5", SEARCH, {"query": {"code": "00"}}, 422),
        ("GET", "/livez?made=up", "/livez", None, 422),
        ("POST", "/v1/collections/nope/search", SEARCH, {"query": {"code": "1"}}, 404),
        ("GET", "/v1/collections/own/items/a/b", "/v1/collections/{collection}/items/{item_id}", None, 404),
        ("GET", "/livez", "/livez", None, 200),
        ("GET", "/made/up/path", "none", None, 404),
        ("GET", "/another", "none", None, 404),
    ):
        assert client.request(method, path, json=body).status_code == status
        sent[method, route, str(status)] += 1
    after = _read(client)
    for (method, route, status), count in sent.items():
        name, labels = "hammingway_requests_total", {"method": method, "route": route, "status": status}
        assert _value(after, name, **labels) - _value(before, name, **labels) == count
    searches = {"method": "POST", "route": SEARCH}
    for name in ("hammingway_request_seconds_count", "hammingway_request_seconds_bucket"):
        labels = searches | ({"le": "+Inf"} if name.endswith("bucket") else {})
        assert _value(after, name, **labels) - _value(before, name, **labels) == 5
    assert 0 < _value(after, "hammingway_request_seconds_sum", **searches) < 60
    # What anyone may make up is in no label.
    assert not any("made" in value or "nope" in value for _, labels in after for _, value in labels)


def test_a_request_that_fails_by_our_own_mistake_is_counted_as_500(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(collections: Collections) -> None:
        raise RuntimeError("a bug")

    labels = {"method": "GET", "route": "/v1/collections", "status": "500"}
    before = _value(_read(client), "hammingway_requests_total", **labels)
    with monkeypatch.context() as patch:
        patch.setattr(Collections, "all", fail)
        assert client.get("/v1/collections").status_code == 500
    # The server closes the connection after that.
    with client_of(client.base_url) as anew:
        assert _value(_read(anew), "hammingway_requests_total", **labels) == before + 1


def test_stages_are_timed_each_once_a_search_and_a_write(client: httpx.Client) -> None:
    before = _read(client)
    items = {"items": [{"id": str(number), "code": f"{number:02x}"} for number in range(5)]}
    for _ in range(3):
        assert client.post("/v1/collections/own/index", json=items).is_success
    for _ in range(4):
        assert len(client.post("/v1/collections/own/search", json={"query": {"code": "00"}}).json()["results"]) == 5
    after = _read(client)
    expected = {"catch_up": 4, "encode": 7, "index": 4, "store": 7}
    for stage, count in expected.items():
        name = "hammingway_stage_seconds_count"
        assert _value(after, name, stage=stage) - _value(before, name, stage=stage) == count, stage
        assert _value(after, "hammingway_stage_seconds_sum", stage=stage) > 0


def test_lines_without_items_make_no_transaction(client: httpx.Client) -> None:
    before = _read(client)
    reply = client.post(
        "/v1/collections/own/index",
        content=gzip.compress(b"\n" * 5000),
        headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
    )
    assert reply.json() == {"indexed": 0, "rejected": []}
    after = _read(client)
    for stage in ("encode", "store"):
        name = "hammingway_stage_seconds_count"
        assert _value(after, name, stage=stage) == _value(before, name, stage=stage)


def test_items_and_recall_of_each_collection_are_those_of_its_stats(client: httpx.Client) -> None:
    client.put("/v1/collections/many", json={"bits": 16, "index": {"kind": "ivf", "lists": 4}})
    items = [{"id": str(number), "code": f"{number * 7919 % 65536:04x}"} for number in range(400)]
    assert client.post("/v1/collections/many/index", json={"items": items}).json() == {"indexed": 400}
    client.post("/v1/collections/many/search", json={"query": {"code": "0000"}})
    for _ in range(200):
        stats = client.get("/v1/collections/many/stats").json()
        if stats["index"]["state"] == "ready":
            break
    assert stats["index"]["state"] == "ready"
    samples = _read(client)
    assert _value(samples, "hammingway_items", collection="many") == 400
    assert _value(samples, "hammingway_items", collection="own") == client.get("/v1/collections/own").json()["count"]
    assert round(_value(samples, "hammingway_ivf_recall", collection="many"), 4) == stats["index"]["recall"]
    assert ("hammingway_ivf_recall", frozenset({("collection", "own")})) not in samples
    assert _value(samples, "hammingway_index_bytes", collection="many") == stats["memory_bytes"]
    client.delete("/v1/collections/many")
    assert ("hammingway_items", frozenset({("collection", "many")})) not in _read(client)


def test_the_process_tells_of_itself(client: httpx.Client) -> None:
    samples = _read(client)
    assert _value(samples, "process_resident_memory_bytes") > 10_000_000
    assert _value(samples, "process_cpu_seconds_total") > 0
    assert _value(samples, "hammingway_ready") == 1
    assert _value(samples, "hammingway_waiting_requests", pool="searches") == 0


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Process]:
    serving = Process(tmp_path / "none", tmp_path / "data", "--workers", "2")
    yield serving
    serving.kill()


def test_two_processes_count_together(two: Process) -> None:
    pids: set[str] = set()
    for number in range(60):
        # A connection each, as it is the connection that chooses the process.
        with client_of(two.url, timeout=30) as client:
            assert client.get("/v1/models").status_code == 200
            pids |= set(re.findall(r'hammingway_ready{pid="(\d+)"}', client.get("/metrics").text))
            if len(pids) == 2 and number >= 20:
                break
    assert len(pids) == 2
    sent = number + 1
    for _ in range(10):
        with client_of(two.url, timeout=30) as client:
            counted = _value(_read(client), "hammingway_requests_total", method="GET", route="/v1/models", status="200")
            assert counted == sent
    two.stop()


def test_a_read_that_stays_open_is_measured_and_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(OpenReads.__init__, "__defaults__", (0.1,))
    going = threading.Event()
    monkeypatch.setattr(EmbeddedMoments, "_is_named", lambda self, row: going.wait(20))
    settings = Settings(hashers=tmp_path / "none", data=tmp_path / "data")
    with caplog.at_level(logging.WARNING), running(settings) as client, ThreadPoolExecutor(1) as threads:
        assert client.put("/v1/collections/read", json={"bits": 8}).status_code == 201
        assert _value(_read(client), "hammingway_oldest_read_seconds") == 0
        asked = threads.submit(client.post, "/v1/collections/read/duplicates", json={"max_distance": 0})
        try:
            deadline = time.monotonic() + 10
            while _value(_read(client), "hammingway_oldest_read_seconds") < 1.5:
                assert time.monotonic() < deadline
        finally:
            going.set()
        assert asked.result().status_code == 200
        assert _value(_read(client), "hammingway_oldest_read_seconds") == 0
    warned = [message for message in caplog.messages if "has been open for" in message]
    assert [message.split(" has been open")[0] for message in warned] == ["the read Reader.all_by_id"]

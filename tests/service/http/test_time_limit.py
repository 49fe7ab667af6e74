"""How long a request may take: what takes longer is told so, what must not be cut off is not."""

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from service.collections.collections import Collections
from service.http.requests import ndjson
from service.settings import Settings
from service.store import snapshots
from tests.service.http.problems import problem_of

SECONDS = 1.0
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("time")
    return Settings(hashers=folder / "none", data=folder / "data", max_seconds=SECONDS)


@pytest.fixture(scope="module", autouse=True)
def own(client: httpx.Client) -> None:
    assert client.put("/v1/collections/own", json={"bits": 8}).status_code == 201


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Searches and writes of items take until the event is set."""
    go = threading.Event()
    search, upsert = Collections.search, Collections.upsert

    def slow_search(*given: object) -> object:
        go.wait(30)
        return search(*given)  # type: ignore[arg-type]

    def slow_upsert(*given: object) -> None:
        go.wait(30)
        upsert(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Collections, "search", slow_search)
    monkeypatch.setattr(Collections, "upsert", slow_upsert)
    yield go
    go.set()


def test_what_takes_too_long_is_a_504_and_what_was_begun_is_finished(
    client: httpx.Client, held: threading.Event
) -> None:
    path = "/v1/collections/own"
    item = {"items": [{"id": "late", "code": "0f"}]}
    for part, body in (("search", {"query": {"code": "00"}}), ("index", item)):
        reply = client.post(f"{path}/{part}", json=body)
        problem_of(reply, 504, f"done in {SECONDS:g} seconds", "a write that was under way is finished")
        assert int(reply.headers["retry-after"]) >= 1
        assert reply.json()["request_id"] == reply.headers["x-request-id"]
        assert reply.headers["x-frame-options"] == "DENY"
    assert client.get(f"{path}/items/late").status_code == 404
    held.set()
    deadline = time.monotonic() + 20
    while client.get(f"{path}/items/late").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # The threads are free again, and the places of the requests that were given up, too.
    found = client.post(f"{path}/search", json={"query": {"code": "0f"}}).json()["results"]
    assert [match["id"] for match in found] == ["late"]
    counted = client.get("/metrics").text
    assert 'hammingway_requests_total{method="POST",route="/v1/collections/{collection}/search",status="504"} 1.0' in (
        counted
    )


def test_a_body_that_never_comes_is_a_504_too(client: httpx.Client) -> None:
    def trickle() -> Iterator[bytes]:
        yield b"{"
        time.sleep(1.5 * SECONDS)
        yield b"}"

    problem_of(client.post("/v1/collections/own/search", content=trickle()), 504)


def test_an_import_of_which_nothing_more_comes_ends_with_what_was_indexed(client: httpx.Client) -> None:
    def lines() -> Iterator[bytes]:
        yield b"".join(b'{"id": "%d", "code": "ff"}\n' % number for number in range(ndjson.BATCH_LINES))
        time.sleep(2 * SECONDS)
        yield b"late\n"

    path = "/v1/collections/stalled"
    client.put(path, json={"bits": 8}).raise_for_status()
    reply = client.post(f"{path}/index", content=lines(), headers=NDJSON)
    told = f"stopped with 1000 items indexed: body: expected more of the body within {SECONDS:g} seconds, got nothing"
    assert problem_of(reply, 504, told)["indexed"] == client.get(path).json()["count"] == 1000


def test_an_error_that_no_coroutine_can_carry_is_a_500_at_once(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> object:
        raise StopIteration

    monkeypatch.setattr(Collections, "search", fails)
    reply = client.post("/v1/collections/own/search", json={"query": {"code": "00"}})
    problem_of(reply, 500, "its log says more")
    # The server closes it after what it did not expect: whoever keeps it for the next request must be told.
    assert reply.headers["Connection"] == "close"


def test_an_import_and_a_snapshot_may_take_longer(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines() -> Iterator[bytes]:
        for number in range(8):
            yield json.dumps({"id": f"line {number}", "code": "ff"}).encode() + b"\n"
            time.sleep(SECONDS / 4)

    started = time.monotonic()
    reply = client.post("/v1/collections/own/index", content=lines(), headers=NDJSON)
    assert time.monotonic() - started > SECONDS
    assert reply.json() == {"indexed": 8, "rejected": []}
    write = snapshots._copy

    def slow(*given: object) -> int:
        time.sleep(1.2 * SECONDS)
        return write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "_copy", slow)
    reply = client.post("/v1/collections/own/snapshots")
    assert (reply.status_code, reply.json()["items"]) == (201, client.get("/v1/collections/own").json()["count"])

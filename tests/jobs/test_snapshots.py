"""Snapshots as jobs: asked for and waited for, cancelled, cut off."""

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.background.snapshots import WAITED_AT_ONCE, Snapshots
from service.jobs.remembered import Remembered
from service.jobs.watching import Watching
from service.process import framing
from service.store import snapshots
from tests.jobs.calls import ASYNC, create, jobs, over, wait_for
from tests.jobs.conftest import Start

ITEMS = 5000


class Held:
    """Lets a snapshot come so far as its first items, and no further than a test lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.release = threading.Event()
        items = snapshots._items

        def held(*given: Any) -> Iterator[Any]:
            for number, batch in enumerate(items(*given)):
                yield batch
                if number == 1:
                    self.release.wait(20)

        monkeypatch.setattr(snapshots, "_items", held)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    made = Held(monkeypatch)
    yield made
    made.release.set()


def begin(client: httpx.Client, path: str, prefer: str = "respond-async") -> dict[str, Any]:
    reply = client.post(f"{path}/snapshots", headers={"Prefer": prefer})
    assert (reply.status_code, reply.headers["preference-applied"]) == (202, "respond-async")
    told: dict[str, Any] = reply.json()
    assert reply.headers["location"] == f"/v1/jobs/{told['id']}"
    return told


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "snapshots").iterdir())


@pytest.mark.parametrize("prefer", ["respond-async", "wait=10, Respond-Async;q=1"])
def test_its_result_is_what_the_reply_would_have_said(served: httpx.Client, folder: Path, prefer: str) -> None:
    path = create(served, items=ITEMS)
    begun = begin(served, path, prefer)
    assert (begun["kind"], begun["state"], begun["result"], begun["total"]) == ("snapshot", "queued", None, None)
    ended = over(served, begun["id"])
    assert (ended["state"], ended["done"], ended["total"]) == ("succeeded", ITEMS, ITEMS)
    waited = served.post(f"{path}/snapshots", headers={"Prefer": "return=minimal"})
    assert (waited.status_code, "preference-applied" in waited.headers) == (201, False)
    result = ended["result"]
    assert result.keys() == waited.json().keys()
    content = (folder / "snapshots" / result["snapshot"]).read_bytes()
    assert (result["items"], result["bytes"]) == (ITEMS, len(content))
    assert result["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("prefer", ["respond-async=1", 'x="a, respond-async, b"', 'x="a\\", respond-async"', ",;="])
def test_what_does_not_ask_for_a_job_is_waited_for(served: httpx.Client, prefer: str) -> None:
    reply = served.post(f"{create(served)}/snapshots", headers={"Prefer": prefer})
    assert (reply.status_code, reply.headers.get("preference-applied")) == (201, None)


def test_of_nothing_there_is_none(served: httpx.Client) -> None:
    reply = served.post("/v1/collections/nope/snapshots", headers=ASYNC)
    assert (reply.status_code, reply.json()["title"]) == (404, "Unknown collection")
    assert jobs(served) == []


def test_those_that_wait_are_queued_and_can_be_cancelled(served: httpx.Client, folder: Path, held: Held) -> None:
    path = create(served, items=ITEMS)
    first, second = begin(served, path), begin(served, path)
    running = wait_for(served, lambda job: job["done"] > 0)
    assert (running["id"], running["state"], running["total"]) == (first["id"], "running", ITEMS)
    assert 0 < running["done"] < ITEMS
    assert served.get(f"/v1/jobs/{second['id']}").json()["state"] == "queued"
    for job in (second, first):
        cancelled = served.post(f"/v1/jobs/{job['id']}/cancel").json()
        assert (cancelled["state"], cancelled["detail"]) == ("cancelled", "nothing is left of it")
    held.release.set()
    third = begin(served, path)
    ended = over(served, third["id"])
    assert ended["state"] == "succeeded"
    made = ended["result"]["snapshot"]
    assert left(folder) == [made, f"{made}.sha256"]
    assert [job["state"] for job in jobs(served)] == ["succeeded", "cancelled", "cancelled"]


def test_one_that_is_waited_for_is_seen_and_its_request_says_that_it_was_cancelled(
    served: httpx.Client, folder: Path, held: Held
) -> None:
    path = create(served, items=ITEMS)
    replies: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: replies.append(httpx.post(f"{served.base_url}{path}/snapshots", timeout=30))
    )
    waiting.start()
    running = wait_for(served, lambda job: job["state"] == "running")
    assert (running["done"], running["total"]) == (2000, ITEMS)
    served.post(f"/v1/jobs/{running['id']}/cancel").raise_for_status()
    held.release.set()
    waiting.join()
    assert (replies[0].status_code, replies[0].json()["title"]) == (409, "Conflict")
    assert left(folder) == []


def test_those_whose_clients_left_end_and_hold_up_no_write(served: httpx.Client, folder: Path, held: Held) -> None:
    path = create(served, items=ITEMS)
    connections = []
    # More than there are threads that write.
    for _ in range(40):
        connection = socket.create_connection((served.base_url.host, served.base_url.port or 0))
        connection.sendall(f"POST {path}/snapshots HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connections.append(connection)
    wait_for(served, lambda job: job["state"] == "running")
    code = "0" * len(served.get(f"{path}/items", params={"limit": 1, "with": "code"}).json()["items"][0]["code"])
    indexed = served.post(f"{path}/index", json={"items": [{"id": "new", "code": code}]}, timeout=10)
    assert indexed.json() == {"indexed": 1}
    for connection in connections:
        connection.close()
    # Told to the work once the client is taken for gone.
    time.sleep(framing.HALF_CLOSED_SECONDS + 0.5)
    held.release.set()
    for job in jobs(served):
        assert over(served, job["id"])["detail"] == "the client went away: nothing is left of it"
    deadline = time.monotonic() + 20
    while left(folder):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(jobs(served)) <= WAITED_AT_ONCE


def test_cancelled_in_the_last_moment_nothing_is_left(
    served: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = create(served, items=10)
    sync = snapshots._sync

    def cancel_then(given: Path) -> None:
        # Its file has its name already.
        (job,) = jobs(served)
        assert served.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
        sync(given)

    monkeypatch.setattr(snapshots, "_sync", cancel_then)
    job = begin(served, path)
    ended = over(served, job["id"])
    wait_for(served, lambda job: job["done"] == 10)
    assert (ended["state"], ended["result"]) == ("cancelled", None)
    deadline = threading.Event()
    for _ in range(100):
        if not left(folder):
            break
        deadline.wait(0.05)
    assert left(folder) == []


def test_one_that_fails_says_why(served: httpx.Client, folder: Path) -> None:
    path = create(served, items=10)
    (folder / "snapshots").write_text("a file")
    ended = over(served, begin(served, path)["id"])
    assert ended["state"] == "failed"
    assert ended["detail"].startswith("Storage failure: expected a folder")


def test_killed_it_says_so_after_the_restart_and_nothing_is_left(start: Start, folder: Path) -> None:
    service = start()
    path = create(service.client, items=60_000)
    begun = [begin(service.client, path)["id"] for _ in range(3)]
    wait_for(service.client, lambda job: job["done"] > 0)
    service.kill()
    again = start().client
    for number in begun:
        ended = over(again, number)
        assert ended["state"] == "interrupted"
        assert ended["detail"] == "the process that did it is gone: nothing is left of it"
    # What the killed process held a lock on is gone, too.
    assert [name for name in left(folder) if ".new" in name] == []
    assert list(folder.glob("*-owner-*")) == []
    job = begin(again, path)
    assert over(again, job["id"])["state"] == "succeeded"
    assert len(list(folder.glob("*-owner-*"))) == 1


def test_a_stop_leaves_nothing_of_it(start: Start, folder: Path) -> None:
    service = start()
    path = create(service.client, items=60_000)
    begun = [begin(service.client, path)["id"] for _ in range(4)]
    wait_for(service.client, lambda job: job["done"] > 0)
    service.stop()
    assert list(folder.glob("*-owner-*")) == []
    assert [name for name in left(folder) if ".new" in name] == []
    again = start().client
    states = {over(again, number)["state"] for number in begun}
    assert states <= {"succeeded", "interrupted"}
    assert over(again, begun[-1])["detail"] == "the service stopped: nothing is left of it"


def test_whole_after_the_stop_has_told_that_nothing_is_left_it_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.watching.PATIENCE_SECONDS", 0.1)
    ledger = Remembered()
    watching = Watching(ledger, lambda: "me", lambda: None)
    taken = snapshots.Taken("c-1.sqlite", 1, 5, "00")

    class Late:
        def take_snapshot(self, *given: Any) -> snapshots.Taken:
            (tmp_path / taken.name).write_text("whole")
            watching.close()
            return taken

    board: Any = watching
    collections: Any = Late()
    taking = Snapshots(collections, board, tmp_path)
    watched = watching.queue("snapshot", "c")
    taking._queued = 1
    taking._take_queued("c", watched)
    taking.close()
    assert [job.detail for job in ledger.all()] == ["the service stopped: nothing is left of it"]
    assert list(tmp_path.iterdir()) == []

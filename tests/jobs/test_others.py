"""Builds, duplicates and deletes as jobs."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.coding.hashers import Hashers
from service.collections import duplicates
from service.collections.collections import NewCollection
from service.index import collection, ivf
from service.items import Item
from service.opening import opened
from service.store.deleting import Deleting
from tests.jobs.calls import NDJSON, create, lines, over, wait_for
from tests.jobs.conftest import Start

ITEMS = 12_000


class Held:
    """Holds up a function until a test lets it go on; `going` of its arguments is called meanwhile."""

    def __init__(self, function: Callable[..., Any], ask: int | None = None) -> None:
        self.release = threading.Event()
        self._function = function
        self._ask = ask

    def __call__(self, *given: Any) -> Any:
        deadline = time.monotonic() + 20
        while not self.release.wait(0.01) and time.monotonic() < deadline:
            if self._ask is not None:
                given[self._ask]()
        return self._function(*given)


def test_every_build_of_an_index_is_told_of(served: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = create(served, items=ITEMS)
    held = Held(ivf.build)
    monkeypatch.setattr(ivf, "build", held)
    served.patch(path, json={"index": {"kind": "ivf"}}).raise_for_status()
    running = wait_for(served, lambda job: job["state"] == "running")
    assert (running["kind"], running["collection"], running["total"]) == ("build", "c", ITEMS)
    assert running["about"] == "an IVF index of 128 lists"
    refused = served.post(f"/v1/jobs/{running['id']}/cancel").json()
    assert (refused["status"], refused["title"]) == (409, "Conflict")
    assert "a build goes on to its end" in refused["detail"]
    held.release.set()
    ended = over(served, running["id"])
    assert (ended["state"], ended["done"]) == ("succeeded", ITEMS)
    # Many more items: it is built anew.
    items = ITEMS + collection.REBUILD_FROM + 1
    again = Held(ivf.build)
    monkeypatch.setattr(ivf, "build", again)
    content = b"".join(lines(ITEMS, items))
    served.post(f"{path}/index", content=content, headers=NDJSON).raise_for_status()
    # The index follows.
    assert served.get(path).json()["count"] == items
    rebuilt = wait_for(served, lambda job: job["kind"] == "build" and job["state"] == "running")
    again.release.set()
    ended = over(served, rebuilt["id"])
    assert (ended["state"], ended["done"], ended["total"]) == ("succeeded", items, items)


def test_a_build_that_fails_says_so(served: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = create(served, items=ITEMS)

    def fail(*given: Any) -> Any:
        time.sleep(2)
        raise RuntimeError("secret")

    monkeypatch.setattr(ivf, "build", fail)
    served.patch(path, json={"index": {"kind": "ivf"}}).raise_for_status()
    ended = wait_for(served, lambda job: job["state"] == "failed")
    assert (ended["kind"], ended["detail"]) == ("build", "the service failed; its log says more")


@pytest.mark.timeout(120)
def test_after_a_kill_every_process_builds_anew_and_the_old_job_says_so(
    start: Start, tmp_path: Path, folder: Path
) -> None:
    # So many lists that k-means takes seconds, on a fast machine that has nothing else to do, too.
    lists, items = 2048, 2048 * ivf.POINTS_PER_LIST
    folder.mkdir()
    codes = np.random.default_rng(0).integers(0, 256, (items, 16), np.uint8)
    with opened(folder / "hammingway.sqlite", Hashers(tmp_path)) as service:
        service.collections.create("c", NewCollection(bits=128))
        for start_at in range(0, items, 10_000):
            block = codes[start_at : start_at + 10_000]
            service.collections.upsert(
                "c", [Item(str(n), "code", code.tobytes().hex()) for n, code in enumerate(block, start_at)]
            )
    first = start()
    # Not before, as this process would build it, too.
    first.client.patch("/v1/collections/c", json={"index": {"kind": "ivf", "lists": lists}}).raise_for_status()
    running = wait_for(first.client, lambda job: job["kind"] == "build")
    assert running["about"] == f"an IVF index of {lists} lists"
    first.kill()
    second = start()
    ended = over(second.client, running["id"])
    assert ended["state"] == "interrupted"
    assert ended["detail"] == "the process that did it is gone: every process that needs the index builds it anew"
    anew = wait_for(second.client, lambda job: job["id"] > running["id"])
    ended = over(second.client, anew["id"])
    assert (ended["kind"], ended["state"], ended["done"], ended["total"]) == ("build", "succeeded", items, items)
    assert second.client.get("/v1/collections/c/stats").json()["index"]["lists"] == lists


def test_duplicates_are_told_of_and_can_be_cancelled(served: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = create(served, items=ITEMS)
    find = duplicates.find
    told: list[float] = []

    def slowly(codes: Any, distance: int, going: Any, compared: Any) -> Any:
        def noting(share: float) -> None:
            told.append(share)
            compared(share)

        found = find(codes, distance, going, noting)
        compared(0.5)
        held(codes, distance, going)
        compared(1.0)
        return found

    held = Held(lambda *given: None, ask=2)
    monkeypatch.setattr(duplicates, "find", slowly)
    replies: list[httpx.Response] = []

    def ask() -> None:
        replies.append(httpx.post(f"{served.base_url}{path}/duplicates", json={"max_distance": 8}, timeout=30))

    first = threading.Thread(target=ask)
    first.start()
    running = wait_for(served, lambda job: job["state"] == "running" and job["done"])
    assert (running["kind"], running["done"], running["total"]) == ("duplicates", ITEMS // 2, ITEMS)
    assert running["about"] == "within 8 bits"
    assert served.post(f"/v1/jobs/{running['id']}/cancel").json()["state"] == "cancelled"
    first.join()
    assert (replies[0].status_code, replies[0].json()["title"]) == (409, "Conflict")
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 1.0
    second = threading.Thread(target=ask)
    second.start()
    running = wait_for(served, lambda job: job["state"] == "running")
    held.release.set()
    second.join()
    assert replies[1].status_code == 200
    ended = over(served, running["id"])
    assert (ended["state"], ended["done"]) == ("succeeded", ITEMS)


def test_a_client_that_goes_away_interrupts_its_duplicates(
    served: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = create(served, items=100)
    held = Held(lambda *given: None, ask=2)
    monkeypatch.setattr("service.collections.duplicates.find", held)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.base_url}{path}/duplicates", json={"max_distance": 8}, timeout=2)
    ended = wait_for(served, lambda job: job["state"] == "interrupted")
    assert ended["detail"] == "the client went away: its reply was cut off, ask anew"


def test_a_delete_by_a_filter_is_told_of_and_can_be_cancelled_until_it_deletes(
    served: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = create(served)
    content = b"".join(b'{"id":"%d","code":"%016x","payload":{"n":%d}}\n' % (n, n, n) for n in range(ITEMS))
    served.post(f"{path}/index", content=content, headers=NDJSON).raise_for_status()
    step, held = Deleting.step, threading.Event()
    condition = {"filter": {"n": {"gte": 1000}}}
    replies: list[httpx.Response] = []

    def slowly(deleting: Deleting) -> bool:
        # All is found, and more is looked for until it may be done.
        return step(deleting) and held.wait(0.02)

    def ask() -> None:
        replies.append(httpx.post(f"{served.base_url}{path}/delete", json=condition, timeout=30))

    monkeypatch.setattr(Deleting, "step", slowly)
    asking = threading.Thread(target=ask)
    asking.start()
    running = wait_for(served, lambda job: job["state"] == "running" and job["done"])
    assert (running["kind"], running["about"], running["done"]) == ("delete", "by a filter", ITEMS - 1000)
    # Nothing is deleted yet.
    assert served.get(path).json()["count"] == ITEMS
    assert served.post(f"/v1/jobs/{running['id']}/cancel").json()["state"] == "cancelled"
    asking.join()
    assert (replies[0].status_code, replies[0].json()["title"]) == (409, "Conflict")
    assert served.get(path).json()["count"] == ITEMS
    asking = threading.Thread(target=ask)
    asking.start()
    running = wait_for(served, lambda job: job["state"] == "running")
    held.set()
    asking.join()
    assert replies[1].json() == {"deleted": ITEMS - 1000}
    assert served.get(path).json()["count"] == 1000
    ended = over(served, running["id"])
    assert (ended["state"], ended["done"], ended["total"]) == ("succeeded", ITEMS - 1000, None)
    refused = served.post(f"/v1/jobs/{running['id']}/cancel")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        f"expected a job that is not over, job {running['id']} is",
    )


def test_a_delete_whose_client_goes_away_before_deletes_nothing(
    served: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = create(served)
    items = [{"id": f"{n}", "code": f"{n:016x}", "payload": {"n": n}} for n in range(100)]
    served.post(f"{path}/index", json={"items": items}).raise_for_status()
    monkeypatch.setattr(Deleting, "step", lambda deleting: bool(time.sleep(0.01)))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.base_url}{path}/delete", json={"filter": {"n": {"gte": 0}}}, timeout=2)
    ended = wait_for(served, lambda job: job["state"] == "interrupted")
    assert ended["detail"] == "the client went away: ask for it again, and what is left is deleted"
    assert served.get(path).json()["count"] == 100

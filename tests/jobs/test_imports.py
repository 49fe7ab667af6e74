"""Imports as jobs: what is told while they run, and of those that were ended by whoever."""

import httpx
import pytest

from tests.jobs.calls import BATCH, Import, count, create, jobs, over, wait_for
from tests.jobs.conftest import Start


def test_one_that_runs_tells_how_far_it_is_and_what_was_wrong(served: httpx.Client) -> None:
    path = create(served)
    running = Import(served.base_url, path, bad=b'{"id":"bad","code":"0"}\n')
    first = wait_for(served, lambda job: job["done"] > BATCH, kind="import")
    assert (first["state"], first["collection"], first["total"]) == ("running", "c", None)
    (error,) = first["errors"]["first"]
    assert (first["errors"]["count"], error["id"], error["line"]) == (1, None, 1)
    assert error["detail"].startswith("expected a code of 16 hex digits")
    assert 0 < first["rate"] < 10**6
    later = wait_for(served, lambda job: job["done"] > first["done"])
    assert later["id"] == first["id"]
    told = running.end().json()
    ended = served.get(f"/v1/jobs/{first['id']}").json()
    assert (ended["state"], ended["done"], ended["detail"]) == ("succeeded", told["indexed"] + 1, None)
    assert told["indexed"] == running.sent == count(served, path)
    assert ended["started"] <= ended["ended"]


def test_short_ones_are_not_written_down(served: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    monkeypatch.setattr("service.store.jobs_writer.JobsWriter.add", lambda *given: written.append(given))
    path = create(served)
    for start in range(0, 50_000, 10_000):
        create(served, f"c{start}", 10_000)
    served.post(f"{path}/delete", json={"filter": {"n": 1}}).raise_for_status()
    list(served.post(f"{path}/duplicates", json={"max_distance": 0}).iter_lines())
    served.post(f"{path}/snapshots").raise_for_status()
    assert jobs(served) == []
    assert written == []


def test_cancelled_it_keeps_what_was_indexed_and_says_how_much(served: httpx.Client) -> None:
    path = create(served)
    running = Import(served.base_url, path)
    job = wait_for(served, lambda job: job["done"] >= BATCH)
    told = served.post(f"/v1/jobs/{job['id']}/cancel")
    assert (told.status_code, told.json()["state"]) == (200, "cancelled")
    running.send_more()
    problem = running.end().json()
    assert (problem["status"], problem["title"]) == (409, "Conflict")
    assert f"expected job {job['id']} to go on, it was cancelled" in problem["detail"]
    kept = count(served, path)
    assert problem["indexed"] == kept >= job["done"]
    exact = wait_for(served, lambda job: job["detail"] == f"{kept} items were indexed")
    assert (exact["id"], exact["state"], exact["done"]) == (job["id"], "cancelled", kept)
    again = served.post(f"/v1/jobs/{job['id']}/cancel").json()
    assert (again["status"], again["detail"]) == (409, f"expected a job that is not over, job {job['id']} is")


def test_a_client_that_goes_away_is_told_of(served: httpx.Client) -> None:
    path = create(served)
    running = Import(served.base_url, path)
    job = wait_for(served, lambda job: job["done"] >= BATCH)
    running.vanish()
    ended = over(served, job["id"])
    kept = count(served, path)
    assert ended["state"] == "interrupted"
    assert ended["detail"] == f"the client went away: {kept} items were indexed"
    assert ended["done"] == kept >= job["done"]


def test_one_that_is_refused_in_the_midst_has_failed(served: httpx.Client) -> None:
    path = create(served)
    running = Import(served.base_url, path)
    job = wait_for(served, lambda job: job["done"] >= BATCH)
    served.delete(path).raise_for_status()
    running.send_more()
    assert running.end().status_code == 404
    ended = over(served, job["id"])
    assert ended["state"] == "failed"
    assert ended["detail"].startswith("Unknown collection: expected the name of a collection that is there")


def test_killed_it_says_after_the_restart_how_much_was_kept_at_least(start: Start) -> None:
    service = start()
    path = create(service.client)
    running = Import(service.url, path)
    seen = wait_for(service.client, lambda job: job["done"] > 10 * BATCH)
    service.kill()
    running.wait()
    again = start().client
    ended = over(again, seen["id"])
    kept = count(again, path)
    assert ended["state"] == "interrupted"
    told = f"the process that did it is gone: {ended['done']} items at least were indexed"
    assert ended["detail"] == told
    # Noted once a second, at some twenty batches a second.
    assert max(0, seen["done"] - 25 * BATCH) < ended["done"] <= kept <= running.sent
    ids = {item["id"] for item in again.get(f"{path}/items", params={"limit": 10_000}).json()["items"]}
    assert {f"{number:07d}" for number in range(min(ended["done"], 10_000))} <= ids


def test_a_stop_interrupts_it_and_says_how_much_was_kept_at_least(start: Start) -> None:
    service = start()
    path = create(service.client)
    running = Import(service.url, path)
    job = wait_for(service.client, lambda job: job["done"] >= BATCH)
    service.stop()
    running.wait()
    again = start().client
    ended = over(again, job["id"])
    assert ended["state"] == "interrupted"
    assert ended["detail"] == f"the service stopped: {ended['done']} items at least were indexed"
    assert ended["done"] in (count(again, path), count(again, path) - BATCH)


def test_two_processes_tell_the_same_and_one_ends_what_the_other_does(start: Start) -> None:
    one, other = start(), start()
    path = create(one.client)
    running = Import(one.url, path)
    job = wait_for(other.client, lambda job: job["done"] >= BATCH)
    assert job["state"] == "running"
    wait_for(other.client, lambda later: later["id"] == job["id"] and later["done"] > job["done"])
    assert other.client.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    # The other process looks once a second.
    running.send_more(40)
    kept = running.end().json()["indexed"]
    assert kept == count(other.client, path)
    exact = wait_for(other.client, lambda job: job["detail"] == f"{kept} items were indexed")
    assert exact["state"] == "cancelled"
    # Of one that is killed the other says so, without a restart; its own is not taken for one of those.
    own = Import(other.url, path)
    lost = Import(one.url, path)
    first = wait_for(other.client, lambda job: job["state"] == "running")
    both = wait_for(other.client, lambda job: job["state"] == "running" and job["id"] != first["id"])
    one.kill()
    lost.wait()
    ended = wait_for(other.client, lambda job: job["state"] == "interrupted")
    assert ended["id"] in (first["id"], both["id"])
    still = wait_for(other.client, lambda job: job["state"] == "running")
    assert {still["id"], ended["id"]} == {first["id"], both["id"]}
    assert own.end().status_code == 200
    assert over(other.client, still["id"])["state"] == "succeeded"


def test_every_worker_tells_of_it(start: Start) -> None:
    service = start("--workers", "2")
    path = create(service.client)
    running = Import(service.url, path)
    job = wait_for(service.client, lambda job: job["done"] >= BATCH)
    # Whichever worker answers, it knows; the newest figures are a second old at most.
    for _ in range(10):
        (told,) = jobs(service.client, kind="import", state="running")
        assert told["id"] == job["id"]
    assert running.end().json()["indexed"] == running.sent
    assert over(service.client, job["id"])["done"] == running.sent


def test_the_list_is_chosen_from(served: httpx.Client) -> None:
    path = create(served)
    job = served.post(f"{path}/snapshots", headers={"Prefer": "respond-async"}).json()
    over(served, job["id"])
    assert [each["id"] for each in jobs(served, kind="snapshot")] == [job["id"]]
    assert jobs(served, kind="import") == []
    refused = served.get("/v1/jobs", params={"kind": "nope"})
    assert refused.status_code == 422
    assert "expected 'recode', 'discard', 'build'" in refused.json()["detail"]

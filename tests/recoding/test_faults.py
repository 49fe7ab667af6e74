"""A re-coding under faults: it says what it waits for, searches go on, and it goes on by itself once that is mended."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.small_disk import small_disk
from tests.recoding.calls import assert_searched, codes, create, over, recode, vectors, write
from tests.serving import Process

QUERY = {"vector": [0.5] * 12}
DISK_BYTES = 48 * 2**20
ITEMS = 6000
PATIENCE_SECONDS = 40


@pytest.fixture
def killed() -> Iterator[Callable[[Process], Process]]:
    """Whatever is handed in is killed in the end."""
    started: list[Process] = []

    def later(process: Process) -> Process:
        started.append(process)
        return process

    yield later
    for each in started:
        each.kill()


def _waiting(client: httpx.Client, job: int, told: str) -> dict[str, Any]:
    """The job, once it says that it waits for something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.get(f"/v1/jobs/{job}").json()
        assert found["state"] in ("queued", "running"), found
        if told in (found["waits_for"] or ""):
            (listed,) = [each for each in client.get("/v1/jobs").json()["jobs"] if each["id"] == job]
            assert listed["waits_for"] == found["waits_for"]
            return found
        time.sleep(0.05)
    raise AssertionError(f"expected a job that waits for {told!r}, got {found}")


def test_a_full_disk_stops_it_until_there_is_room(
    versions: Path, tmp_path: Path, killed: Callable[[Process], Process]
) -> None:
    documents = vectors(0, ITEMS)
    with small_disk(tmp_path / "data", DISK_BYTES) as disk:
        serving = killed(Process(versions, tmp_path / "data", prefix=disk.prefix))
        client = serving.client
        path = create(client, "c")
        write(client, path, documents)
        # Room to begin, and for some of it.
        disk.fill(leave_bytes=200_000)
        job = recode(client, path, "vectors@3")["id"]
        waiting = _waiting(client, job, "Storage full: ")
        assert waiting["done"] < ITEMS
        assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)
        disk.free()
        ended = over(client, job)
        assert (ended["state"], ended["done"], ended["waits_for"]) == ("succeeded", ITEMS, None)
        assert_searched(client, path, "vectors@3", codes(versions, "vectors@3", documents), QUERY)
        serving.kill()


def _stopped_in_mid_job(
    versions: Path, tmp_path: Path, killed: Callable[[Process], Process], seed: int
) -> tuple[Path, str, dict[str, list[float]], int]:
    """A service that was killed when it had begun: its hashers, the collection's path and documents, the job."""
    hashers = tmp_path / "hashers"
    hashers.mkdir()
    for name in ("vectors@1", "vectors@2"):
        (hashers / name).symlink_to(versions / name)
    serving = killed(Process(hashers, tmp_path / "data"))
    path, documents = create(serving.client, "c"), vectors(seed, ITEMS)
    write(serving.client, path, documents)
    job = recode(serving.client, path, "vectors@2")["id"]
    serving.kill()
    return hashers, path, documents, job


def test_a_hasher_that_is_gone_stops_it_until_it_is_back(
    versions: Path, tmp_path: Path, killed: Callable[[Process], Process]
) -> None:
    hashers, path, documents, job = _stopped_in_mid_job(versions, tmp_path, killed, seed=1)
    (hashers / "vectors@2").rename(tmp_path / "away")
    serving = killed(Process(hashers, tmp_path / "data"))
    client = serving.client
    waiting = _waiting(client, job, "Missing hasher: collection 'c' needs hasher vectors@2")
    assert waiting["done"] < ITEMS
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)
    # A write has to be coded by both.
    reply = client.post(f"{path}/index", json={"items": [{"id": "new", "vector": [1.0] * 12}]})
    assert (reply.status_code, reply.json()["title"]) == (503, "Missing hasher")
    # A deletion has not.
    client.delete(f"{path}/items/v00000").raise_for_status()
    del documents["v00000"]
    (tmp_path / "away").rename(hashers / "vectors@2")
    ended = over(client, job)
    assert (ended["state"], ended["done"], ended["waits_for"]) == ("succeeded", ITEMS, None)
    assert_searched(client, path, "vectors@2", codes(versions, "vectors@2", documents), QUERY)


def test_a_hasher_that_never_comes_back_can_be_given_up(
    versions: Path, tmp_path: Path, killed: Callable[[Process], Process]
) -> None:
    hashers, path, documents, job = _stopped_in_mid_job(versions, tmp_path, killed, seed=2)
    (hashers / "vectors@2").unlink()
    client = killed(Process(hashers, tmp_path / "data")).client
    _waiting(client, job, "Missing hasher: ")
    assert client.post(f"/v1/jobs/{job}/cancel").json()["state"] == "cancelled"
    write(client, path, {"v00000": [0.25] * 12})
    documents["v00000"] = [0.25] * 12
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)

"""A full disk: writes are refused whole, searches go on, and once there is room all goes on without a restart."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.faults.conftest import Start
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.truth import stored
from tests.faults.writing import QUIET, WritingClient, make_quiet_collection, reading
from tests.jobs.calls import Import, jobs, wait_for

DISK_BYTES = 48 * 2**20
MOST_ROOM_BYTES = 6 * 2**20
STORAGE_FULL = (507, "Storage full")
# A disk each, as a database never shrinks: after some rounds on one there is no room for the WAL of a large delete.
DISKS, LONG_DISKS = 1, 20
MOST_WRITES = 3000
# How many items at once, and the bytes of each: the large are refused first, be it only as a reader holds up the WAL,
# and then many pages are free that a single item would take thousands of writes to use up.
LARGE_WRITES = ((20, 20_000), (20, 2000), (20, 200))
SMALL = ("delete", "delete of one", "creation", "upsert of one")


def _until_refused(write: Callable[[], int]) -> None:
    for _ in range(MOST_WRITES):
        if write() == STORAGE_FULL[0]:
            return
    raise AssertionError(f"expected the disk to be full after {MOST_WRITES} writes")


def _fill(disk: SmallDisk, client: WritingClient, random: np.random.Generator, compared: Counter[str]) -> None:
    """Every kind of write while there is room, and again when there is none."""
    assert all(write() in (200, 201) for write in client.kinds.values())
    # The service fills what is left itself: somewhere within a large write, then a small one.
    disk.fill(leave_bytes=int(random.integers(MOST_ROOM_BYTES)))
    for count, payload_bytes in LARGE_WRITES:
        _until_refused(partial(client.upsert, count, payload_bytes))
    compared["written"] += client.look()
    disk.fill()
    _until_refused(client.kinds["upsert of one"])
    for kind in random.permutation(list(client.kinds)):
        status = client.kinds[kind]()
        # What is small may find room where nothing else does, as in pages that a delete gave up: then it is done.
        assert status == STORAGE_FULL[0] or kind in SMALL
        compared["written"] += client.look()


def test_a_full_disk_is_named_where_a_file_cannot_be_made(start: Start, tmp_path: Path) -> None:
    """A snapshot, and what SQLite keeps beside a database that it opens, after an orderly stop."""
    with small_disk(tmp_path / "data", DISK_BYTES) as disk:
        serving = start(tmp_path / "data", prefix=disk.prefix)
        make_quiet_collection(serving, 0)
        disk.fill()
        reply = serving.client.post(f"/v1/collections/{QUIET}/snapshots")
        assert (reply.status_code, reply.json()["title"]) == STORAGE_FULL
        disk.free()
        serving.stop()
        disk.fill()
        command = [*disk.prefix, sys.executable, "-m", "service", "--data", str(tmp_path / "data"), "--port", "0"]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert refused.returncode != 0 and "expected room on the disk" in refused.stderr
        disk.free()
        serving = start(tmp_path / "data", prefix=disk.prefix)
        assert serving.client.post(f"/v1/collections/{QUIET}/snapshots").json()["items"] == 500
        serving.kill()


def test_work_that_begins_on_a_full_disk_is_seen_and_kept_once_there_is_room(start: Start, tmp_path: Path) -> None:
    """An import of codes that do not fit: it needs no room, and takes as long as it is told to."""
    with small_disk(tmp_path / "data", DISK_BYTES) as disk:
        serving = start(tmp_path / "data", "--max-rejected", "1000000", prefix=disk.prefix)
        serving.client.put("/v1/collections/short", json={"bits": 8}).raise_for_status()
        disk.fill()
        running = Import(serving.url, "/v1/collections/short")
        job = wait_for(serving.client, lambda job: job["state"] == "running")
        assert (job["kind"], job["collection"]) == ("import", "short")
        path = f"/v1/jobs/{job['id']}"
        assert serving.client.get(path).json()["state"] == "running"
        disk.free()
        written = wait_for(serving.client, lambda told: told["id"] < job["id"])
        assert [told["id"] for told in jobs(serving.client)] == [written["id"]]
        # Who knows the first number finds it.
        assert serving.client.post(f"{path}/cancel").json()["id"] == written["id"]
        assert serving.client.get(path).json()["state"] == "cancelled"
        running.send_more(40)
        assert running.end().status_code == 409
        serving.kill()
        again = start(tmp_path / "data", prefix=disk.prefix)
        assert [(told["id"], told["state"]) for told in jobs(again.client)] == [(written["id"], "cancelled")]
        again.kill()


@pytest.mark.timeout(1800)
def test_a_full_disk_refuses_refuses_writes_whole_and_searches_go_on(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    compared: Counter[str] = Counter()
    replies: Counter[str] = Counter()
    for number in range(LONG_DISKS if long else DISKS):
        data = tmp_path / f"data-{number}"
        with small_disk(data, DISK_BYTES) as disk:
            serving = start(data, prefix=disk.prefix)
            quiet = make_quiet_collection(serving, seed)
            client = WritingClient(serving, data, STORAGE_FULL, int(random.integers(2**32)), disk.prefix)
            for freed_at_once in (True, False):
                with reading(serving.url, quiet, compared):
                    _fill(disk, client, random, compared)
                    if freed_at_once:
                        disk.free()
                        # Without a restart; most goes, so that there is room for the next time.
                        assert all(write() in (200, 201) for write in client.kinds.values())
                        assert client.delete(len(client.known.items) - 100) == 200
                        compared["written"] += client.look()
                serving.kill()
                if not freed_at_once:
                    disk.free()
                serving = start(data, prefix=disk.prefix)
                client.restarted(serving, possible=[])
                assert client.delete(len(client.known.items) - 100) == 200
                assert stored(data, QUIET, disk.prefix) == quiet
            serving.kill()
        replies += client.replies
    print(f"{2 * (number + 1)} times full; replies: {dict(replies)}; replies compared: {dict(compared)}")
    assert all(replies[f"{kind}: 507"] for kind in ("upsert", "import", "creation"))

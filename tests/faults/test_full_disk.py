"""A full disk: writes are refused whole, searches go on, and once there is room all goes on without a restart."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faults.conftest import Start
from tests.faults.small_disk import small_disk
from tests.faults.truth import stored
from tests.faults.writing import QUIET, WritingClient, make_quiet_collection, reading

DISK_BYTES = 48 * 2**20
MOST_ROOM_BYTES = 6 * 2**20
STORAGE_FULL = (507, "Storage full")
ROUNDS, LONG_ROUNDS = 2, 40
MOST_WRITES = 3000
SMALL = ("delete", "delete of one", "creation", "upsert of one")


def _until_refused(write: Callable[[], int]) -> None:
    for _ in range(MOST_WRITES):
        if write() == STORAGE_FULL[0]:
            return
    raise AssertionError(f"expected the disk to be full after {MOST_WRITES} writes")


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


@pytest.mark.timeout(1800)
def test_a_full_disk_refuses_refuses_writes_whole_and_searches_go_on(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    compared: Counter[str] = Counter()
    with small_disk(tmp_path / "data", DISK_BYTES) as disk:
        serving = start(tmp_path / "data", prefix=disk.prefix)
        quiet = make_quiet_collection(serving, seed)
        client = WritingClient(serving, tmp_path / "data", STORAGE_FULL, seed, disk.prefix)
        for attempt in range(LONG_ROUNDS if long else ROUNDS):
            assert all(write() in (200, 201) for write in client.kinds.values())
            with reading(serving.url, quiet, compared):
                # The service fills what is left itself: somewhere within a large write, then a small one.
                disk.fill(leave_bytes=int(random.integers(MOST_ROOM_BYTES)))
                _until_refused(lambda: client.upsert(20, payload_bytes=20_000))
                compared["written"] += client.look()
                disk.fill()
                _until_refused(client.kinds["upsert of one"])
                for kind in random.permutation(list(client.kinds)):
                    status = client.kinds[kind]()
                    # What is small may find room where nothing else does, as in pages that a delete gave up: then it
                    # has to be done.
                    assert status == STORAGE_FULL[0] or kind in SMALL
                    compared["written"] += client.look()
                if attempt % 2 == 0:
                    disk.free()
                    # At once, and without a restart; most goes, so that there is room for the next round.
                    assert all(write() in (200, 201) for write in client.kinds.values())
                    assert client.delete(len(client.known.items) - 100) == 200
                    compared["written"] += client.look()
            serving.kill()
            if attempt % 2 == 1:
                disk.free()
            serving = start(tmp_path / "data", prefix=disk.prefix)
            client.restarted(serving, possible=[])
            assert client.delete(len(client.known.items) - 100) == 200
            assert stored(tmp_path / "data", QUIET, disk.prefix) == quiet
        serving.kill()
    print(f"replies: {dict(client.replies)}; replies compared: {dict(compared)}")
    assert all(client.replies[f"{kind}: 507"] for kind in ("upsert", "import", "creation"))

"""System calls that fail under the database: what is not written is refused whole, what was written stays."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.faults.conftest import Start
from tests.faults.failing_io import FailingIo
from tests.faults.truth import stored
from tests.faults.writing import QUIET, WritingClient, make_quiet_collection, reading

STORAGE_FAILURE = (500, "Storage failure")
# What SQLite and the mark beside it call, on which file; and whether writing is impossible then. What fails on the
# database itself fails in a checkpoint: the WAL still holds all of it, and the write is none the worse.
FAULTS = {
    ("pwrite64", "-wal"): True,
    ("fdatasync", "-wal"): True,
    ("pwrite64", ".sqlite"): False,
    ("fdatasync", ".sqlite"): False,
    ("ftruncate", ".sqlite"): False,
    ("pwrite64", "-mark"): False,
    ("any", "-wal"): True,
    ("any", ".sqlite"): False,
}
# Enough for a checkpoint, at 1,000 pages of 4 KB.
LARGE_WRITES = 14
ROUNDS, LONG_ROUNDS = 1, 20


@pytest.mark.timeout(1800)
def test_failing_system_calls_lose_nothing_and_leave_nothing_half_done(
    start: Start, tmp_path: Path, long: bool, seed: int
) -> None:
    data = tmp_path / "data"
    io = FailingIo(tmp_path, data)
    random = np.random.default_rng(seed)
    serving = start(data, environment=io.environment)
    quiet = make_quiet_collection(serving, seed)
    client = WritingClient(serving, data, STORAGE_FAILURE, seed)
    compared: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for (call, end), impossible in list(FAULTS.items()) * (LONG_ROUNDS if long else ROUNDS):
        assert all(write() in (200, 201) for write in client.kinds.values())
        with reading(serving.url, quiet, compared):
            io.fail(call, end)
            for _ in range(LARGE_WRITES):
                client.upsert(20, payload_bytes=20_000)
            for kind in random.permutation(list(client.kinds)):
                status = client.kinds[kind]()
                assert (status == STORAGE_FAILURE[0]) == impossible, f"{kind} under a failing {call} of {end}"
            compared["written"] += client.look()
            failed = io.work()
            assert failed > 0
            # At once, and without a restart.
            assert all(write() in (200, 201) for write in client.kinds.values())
            compared["written"] += client.look()
            io.fail(call, end)
            for kind in random.permutation(list(client.kinds))[:3]:
                client.kinds[kind]()
        serving.kill()
        failures[f"{call} {end}"] += failed + io.work()
        serving = start(data, environment=io.environment)
        # A write that was refused because it could not be synced may be there now: nobody was told that it is not.
        client.restarted(serving, possible=client.refused)
        assert stored(data, QUIET) == quiet
        assert client.delete(len(client.known.items) - 100) == 200
    print(f"calls failed: {dict(failures)}")
    print(f"replies: {dict(client.replies)}; replies compared: {dict(compared)}")

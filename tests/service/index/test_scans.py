import os
import threading
from pathlib import Path

import numpy as np
import pytest

from models.codes import hamming
from service.index import busy, cores, scans
from service.index.cores import Cores


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "LEAST_BYTES", 64)
    monkeypatch.setattr(scans, "PART_BYTES", 64)
    monkeypatch.setattr(cores, "idle_cores", lambda: 8)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 7, 8, 100, 1001])
def test_scans_that_are_shared_find_what_one_alone_finds(count: int, rows: int) -> None:
    rng = np.random.default_rng(rows)
    # Few bits are set, so that many tie.
    codes = rng.integers(0, 4, (rows, 8), dtype=np.uint8)
    queries = rng.integers(0, 4, (3, 8), dtype=np.uint8)
    true = hamming(queries, codes)
    cores = Cores(count)
    for k in (1, min(rows, 5), min(rows, 300), rows):
        distances, found = scans.nearest(queries, codes, k, cores)
        assert np.array_equal(distances, np.sort(true, axis=1)[:, :k])
        assert np.array_equal(np.take_along_axis(true, found, 1), distances)
        assert all(len(set(each)) == k for each in found.tolist())
    for query, near in zip(queries, true, strict=True):
        distances, found = scans.within(query, codes, 6, cores)
        assert np.array_equal(distances, np.sort(near[near <= 6]))
        assert np.array_equal(near[found], distances)
        assert sorted(found.tolist()) == np.flatnonzero(near <= 6).tolist()
    cores.close()


def test_no_code_is_within_any_distance_of_none() -> None:
    distances, rows = scans.within(np.zeros(8, np.uint8), np.empty((0, 8), np.uint8), 64, Cores(2))
    assert len(distances) == len(rows) == 0


def _parts(cores: Cores, most: int) -> list[slice]:
    return cores.share(40, most, lambda bound: bound)


def test_parts_follow_each_other_at_most_as_many_as_wanted_and_four_a_thread() -> None:
    cores = Cores(2)
    assert _parts(cores, 3) == [slice(0, 13), slice(13, 26), slice(26, 40)]
    assert _parts(cores, 9) == [slice(5 * part, 5 * part + 5) for part in range(8)]
    assert _parts(cores, 1) == [slice(0, 40)]
    cores.close()


def test_work_is_shared_among_idle_cores_only() -> None:
    cores, inside, release = Cores(3), threading.Event(), threading.Event()

    def wait(bound: slice) -> None:
        inside.set()
        assert release.wait(30)

    others = [threading.Thread(target=lambda: cores.share(40, 1, wait)) for _ in range(2)]
    for threads, other in enumerate(others, 1):
        inside.clear()
        other.start()
        assert inside.wait(30)
        assert len(_parts(cores, 99)) == (8 if threads == 1 else 1)
    release.set()
    for other in others:
        other.join()
    assert len(_parts(cores, 99)) == 12
    cores.close()


@pytest.mark.parametrize(("idle", "parts"), [(0, 1), (1, 8), (2, 12), (9, 12)])
def test_cores_that_others_keep_busy_are_not_idle(monkeypatch: pytest.MonkeyPatch, idle: int, parts: int) -> None:
    monkeypatch.setattr("service.index.cores.idle_cores", lambda: idle)
    cores = Cores(3)
    assert len(_parts(cores, 99)) == parts
    cores.close()


def test_the_machine_says_how_many_cores_are_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 <= busy.idle_cores() <= (os.cpu_count() or 1)
    told = tmp_path / "loadavg"
    with told.open("w+b", buffering=0) as file:
        monkeypatch.setattr(busy, "_file", file.fileno())
        monkeypatch.setattr(busy, "_CORES", 4)
        for running, idle in ((1, 3), (3, 1), (4, 0), (17, 0)):
            file.truncate(0)
            file.seek(0)
            file.write(f"0.20 0.18 0.12 {running}/511 11206\n".encode())
            assert busy.idle_cores() == idle
    monkeypatch.setattr(busy, "_file", None)
    assert busy.idle_cores() == 3


def test_a_thread_that_is_kept_from_its_core_is_not_waited_for() -> None:
    cores, release, me = Cores(2), threading.Event(), threading.current_thread()
    began = threading.Event()

    def work(bound: slice) -> int:
        if threading.current_thread() is me:
            # The other one has a part, too, before this one has done them all.
            assert began.wait(30)
        else:
            began.set()
            assert release.wait(30)
        return bound.start

    try:
        assert cores.share(40, 8, work) == list(range(0, 40, 5))
        assert not release.is_set()
    finally:
        release.set()
    cores.close()


def test_what_a_part_raises_is_raised_and_gives_the_cores_back() -> None:
    cores = Cores(2)

    def fail(bound: slice) -> None:
        if bound.start == failing:
            raise ValueError(f"part {bound.start}")

    for failing in (0, 5):
        with pytest.raises(ValueError, match=f"part {failing}"):
            cores.share(10, 2, fail)
        assert len(_parts(cores, 2)) == 2
    cores.close()


def test_where_no_thread_can_be_started_the_caller_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a container may have no more processes: searches go on, and are shared once there is room."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    cores = Cores(2)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            assert _parts(cores, 9) == [slice(5 * part, 5 * part + 5) for part in range(8)]
    both_in = threading.Barrier(2)
    cores.share(2, 2, lambda bound: both_in.wait(30))
    cores.close()

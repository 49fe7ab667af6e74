import threading

import numpy as np
import pytest

from models.codes import hamming
from service.index import scans
from service.index.cores import Cores


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "LEAST_BYTES", 64)


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


def test_work_is_shared_among_idle_cores_only() -> None:
    cores, seen, inside = Cores(3), [], threading.Event()

    def count(bound: slice) -> slice:
        seen.append(threading.current_thread())
        return bound

    assert cores.share(10, 9, count) == [slice(0, 3), slice(3, 6), slice(6, 10)]
    assert len(seen) == 3
    assert cores.share(10, 2, count) == [slice(0, 5), slice(5, 10)]
    release = threading.Event()

    def wait(bound: slice) -> None:
        inside.set()
        assert release.wait(30)

    others = [threading.Thread(target=lambda: cores.share(10, 1, wait)) for _ in range(2)]
    for number, other in enumerate(others):
        inside.clear()
        other.start()
        assert inside.wait(30)
        parts = cores.share(10, 9, count)
        assert len(parts) == 2 - number
    release.set()
    for other in others:
        other.join()
    assert len(cores.share(10, 9, count)) == 3
    cores.close()


def test_what_a_part_raises_is_raised_and_gives_the_cores_back() -> None:
    cores = Cores(2)

    def fail(bound: slice) -> None:
        if bound.start == failing:
            raise ValueError(f"part {bound.start}")

    for failing in (0, 5):
        with pytest.raises(ValueError, match=f"part {failing}"):
            cores.share(10, 2, fail)
        assert len(cores.share(10, 2, lambda bound: bound)) == 2
    cores.close()

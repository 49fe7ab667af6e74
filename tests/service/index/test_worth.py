import numpy as np
import pytest

from service.index import cores, scans
from service.index.cores import Cores
from service.index.worth import TRIED_AGAIN, TRIED_FIRST, Worth


def _scans(worth: Worth, count: int, alone: float, shared: float, alike: object = "scan") -> list[bool]:
    chosen = []
    for _ in range(count):
        chosen.append(worth.sharing(alike))
        worth.took(alike, chosen[-1], shared if chosen[-1] else alone)
    return chosen


@pytest.mark.parametrize(("shared", "pays"), [(0.6, True), (0.95, False), (1.5, False)])
def test_what_was_quicker_is_done_and_the_other_tried_now_and_then(shared: float, pays: bool) -> None:
    worth = Worth()
    first = _scans(worth, 2 * TRIED_FIRST, 1.0, shared)
    assert first.count(True) == first.count(False) == TRIED_FIRST
    later = _scans(worth, 2 * TRIED_AGAIN, 1.0, shared)
    assert later.count(not pays) == 2
    assert later[:8] == [pays] * 8


def test_it_is_learned_anew_when_times_change() -> None:
    worth = Worth()
    _scans(worth, 1000, 1.0, 0.5)
    assert _scans(worth, TRIED_AGAIN, 1.0, 3.0).count(True) < TRIED_AGAIN / 2
    _scans(worth, 40 * TRIED_AGAIN, 1.0, 0.5)
    assert _scans(worth, TRIED_AGAIN, 1.0, 0.5).count(True) > TRIED_AGAIN / 2


def test_one_scan_that_was_kept_waiting_changes_nothing() -> None:
    worth = Worth()
    _scans(worth, 100, 1.0, 0.6)
    worth.took("scan", True, 1000.0)
    assert all(_scans(worth, 20, 1.0, 0.6))


def test_scans_that_are_not_alike_are_learned_of_apart() -> None:
    worth = Worth()
    _scans(worth, 100, 1.0, 0.5, "large")
    _scans(worth, 100, 1.0, 2.0, "small")
    assert _scans(worth, 10, 1.0, 0.5, "large") == [True] * 10
    assert _scans(worth, 10, 1.0, 2.0, "small") == [False] * 10


@pytest.mark.parametrize(("shared", "parts"), [(0.4, 8), (3.0, 1)])
def test_a_scan_is_shared_where_that_pays(monkeypatch: pytest.MonkeyPatch, shared: float, parts: int) -> None:
    clock = [0.0]
    monkeypatch.setattr(cores, "idle_cores", lambda: 1)
    monkeypatch.setattr(cores, "perf_counter", lambda: clock[0])
    two = Cores(2)

    def scan() -> int:
        def work(bound: slice) -> slice:
            # Parts are done one after the other here, or at once, as the time says that is made of them.
            clock[0] += 1.0 if bound.stop - bound.start == 80 else shared / 8
            return bound

        return len(two.share(80, 8, work, "scan"))

    for _ in range(100):
        scan()
    taken = [scan() for _ in range(TRIED_AGAIN)]
    assert taken.count(parts) == TRIED_AGAIN - 1
    two.close()


def test_other_lengths_and_sizes_of_codes_are_not_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "LEAST_BYTES", 64)
    monkeypatch.setattr(scans, "PART_BYTES", 64)
    monkeypatch.setattr(cores, "idle_cores", lambda: 1)
    two = Cores(2)
    for rows, width in ((100, 8), (120, 8), (200, 8), (100, 16)):
        codes = np.zeros((rows, width), np.uint8)
        scans.nearest(codes[:1], codes, 3, two)
        scans.within(codes[0], codes, 3, two)
    assert len(two._worth._taken) == 6
    two.close()

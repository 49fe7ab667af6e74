import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codes import Codes, hamming
from service.index.flat import FlatIndex, compact
from service.index.snapshot import UNKNOWN


def _brute_force(query: Codes, live: dict[int, Codes], limit: int) -> list[tuple[int, int]]:
    """(distance, sequence) of the `limit` nearest and all tied with the last, sorted."""
    pairs = sorted((int(hamming(query[None], code[None])[0, 0]), seq) for seq, code in live.items())
    if not pairs[:limit]:
        return []
    return [pair for pair in pairs if pair[0] <= pairs[:limit][-1][0]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 90), st.integers(1, 8))
def test_nearest_is_brute_force_with_every_tie(seed: int, n: int, limit: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, spread + 1, (n, 8), dtype=np.uint8)
    index, live = FlatIndex(64), dict(enumerate(codes))
    index.append(np.arange(n), codes)
    removed = rng.permutation(n)[: n // 3]
    index.remove(removed)
    for sequence in removed:
        del live[int(sequence)]
    query = rng.integers(0, spread + 1, 8, dtype=np.uint8)
    (distances, sequences, _), *_ = index.snapshot().nearest(query[None], limit)
    found = list(zip(distances.tolist(), sequences.tolist(), strict=True))
    assert distances.tolist() == sorted(distances.tolist())
    assert sorted(found) == _brute_force(query, live, limit)


def test_max_distance_is_inclusive() -> None:
    index = FlatIndex(8)
    index.append(np.arange(3), np.array([[0], [1], [3]], np.uint8))
    distances, sequences, _ = index.snapshot().within(np.array([0], np.uint8), 1)
    assert (distances.tolist(), sequences.tolist()) == ([0, 1], [0, 1])


def test_a_snapshot_does_not_see_what_comes_after() -> None:
    index = FlatIndex(8)
    index.append(np.array([1, 2]), np.array([[0], [1]], np.uint8))
    before = index.snapshot()
    index.remove(np.array([1, 99]))
    index.append(np.array([3]), np.array([[0]], np.uint8))
    assert before.nearest(np.array([[0]], np.uint8), 5)[0].sequences.tolist() == [1, 2]
    assert sorted(index.snapshot().nearest(np.array([[0]], np.uint8), 5)[0].sequences.tolist()) == [2, 3]


def test_compaction_keeps_the_live_items() -> None:
    index = FlatIndex(16)
    codes = np.random.default_rng(0).integers(0, 256, (5000, 2), dtype=np.uint8)
    index.append(np.arange(5000), codes)
    index.remove(np.arange(0, 5000, 2))
    assert index.wants_compaction
    index.adopt(compact(index.snapshot()))
    assert (len(index), index.snapshot().size) == (2500, 2500)
    sequences = index.snapshot().nearest(codes[:1], 5000)[0].sequences
    assert sorted(sequences.tolist()) == list(range(1, 5000, 2))


def test_searches_while_it_grows() -> None:
    index, rng = FlatIndex(64), np.random.default_rng(0)
    index.append(np.array([0]), np.zeros((1, 8), np.uint8))
    stop, failures = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            ((distances, sequences, _),) = index.snapshot().nearest(np.zeros((1, 8), np.uint8), 1)
            if distances[0] != 0 or sequences[0] != 0:
                failures.append((distances, sequences))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for start in range(1, 200_001, 1000):
        index.append(np.arange(start, start + 1000), rng.integers(1, 256, (1000, 8), dtype=np.uint8))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.integers(1, 60))
def test_among_some_it_is_brute_force_over_those(seed: int, n: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, 8), dtype=np.uint8)
    index = FlatIndex(64)
    index.append(np.arange(1, 2 * n, 2), codes)
    removed = rng.permutation(np.arange(1, 2 * n, 2))[: n // 4]
    index.remove(removed)
    some = np.unique(rng.integers(0, 2 * n + 5, n // 2 + 1))
    live = {
        int(sequence): codes[sequence // 2]
        for sequence in some
        if sequence % 2 and sequence < 2 * n and sequence not in removed
    }
    queries = rng.integers(0, 4, (3, 8), dtype=np.uint8)
    for query, found in zip(queries, index.snapshot().among(queries, limit, some), strict=True):
        pairs = sorted(zip(found.distances.tolist(), found.sequences.tolist(), strict=True))
        assert pairs == _brute_force(query, live, limit)


def test_the_nearest_all_dead_are_looked_past() -> None:
    """Duplicates that were deleted lie nearer to the query than all that lives."""
    index = FlatIndex(64)
    far = np.full((300, 8), 0xFF, np.uint8)
    index.append(np.arange(1, 901), np.zeros((900, 8), np.uint8))
    index.append(np.arange(1001, 1301), far)
    index.remove(np.arange(1, 900))
    (found,) = index.snapshot().nearest(np.zeros((1, 8), np.uint8), 5)
    assert (found.distances.tolist()[:2], found.sequences.tolist()[0]) == ([0, 64], 900)
    assert sorted(found.sequences.tolist()[1:]) == list(range(1001, 1301))


def test_compaction_carries_over_what_came_and_went_meanwhile() -> None:
    index, rng = FlatIndex(64), np.random.default_rng(0)
    codes = rng.integers(0, 256, (4000, 8), dtype=np.uint8)
    index.append(np.arange(3000), codes[:3000])
    index.remove(np.arange(0, 3000, 2))
    before = index.snapshot()
    copied = compact(before)
    index.append(np.arange(3000, 4000), codes[3000:])
    index.remove(np.array([1, 3, 3500]))
    between = index.snapshot()
    index.adopt(copied)
    live = {n: codes[n] for n in [*range(5, 3000, 2), *range(3000, 4000)] if n != 3500}
    assert len(index) == len(live)
    for snapshot in (between, index.snapshot()):
        (found,) = snapshot.nearest(codes[:1], 10_000)
        assert sorted(found.sequences.tolist()) == sorted(live)
    (found,) = before.nearest(codes[:1], 10_000)
    assert sorted(found.sequences.tolist()) == list(range(1, 3000, 2))
    index.remove(np.array([5]))
    assert 5 not in index.snapshot().nearest(codes[5:6], 1)[0].sequences


def test_places_in_the_order_of_ids_are_known_of_those_that_were_there() -> None:
    index = FlatIndex(8)
    index.append(np.array([10, 20, 30, 40]), np.zeros((4, 1), np.uint8))
    index.remove(np.array([20]))
    # 20 is gone from the store, and 50 is not here yet.
    index.order(np.array([40, 50, 10, 30]), 40)
    index.append(np.array([60]), np.zeros((1, 1), np.uint8))
    (found,) = index.snapshot().nearest(np.zeros((1, 1), np.uint8), 9)
    assert dict(zip(found.sequences.tolist(), found.order.tolist(), strict=True)) == {10: 2, 30: 3, 40: 0, 60: UNKNOWN}


def test_removing_costs_the_same_however_many_there_are() -> None:
    """Nothing that removing or a snapshot touches is as long as the index: arrays stay the same objects."""
    index = FlatIndex(64)
    index.append(np.arange(100_000), np.zeros((100_000, 8), np.uint8))
    before = index.snapshot()
    index.remove(np.array([5]))
    after = index.snapshot()
    assert after.columns is before.columns
    assert (before.live, after.live) == (100_000, 99_999)

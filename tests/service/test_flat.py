import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codes import Codes, hamming
from service.index.flat import FlatIndex, compact


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

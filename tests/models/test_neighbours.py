import numpy as np

from models.neighbours import nearest


def test_equals_sorting_all_distances() -> None:
    rng = np.random.default_rng(0)
    base, queries = rng.standard_normal((700, 5)).astype(np.float32), rng.standard_normal((600, 5)).astype(np.float32)
    all_distances = ((queries[:, None] - base[None]) ** 2).sum(axis=2)
    assert np.array_equal(nearest(queries, base, 7), np.argsort(all_distances, axis=1)[:, :7])


def test_itself_is_left_out() -> None:
    base = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    found = nearest(base, base, 100, itself=True)
    assert found.shape == (50, 49)
    assert not (found == np.arange(50)[:, None]).any()

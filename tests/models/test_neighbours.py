import numpy as np
import pytest

from models import neighbours
from models.neighbours import nearest


@pytest.fixture(autouse=True, params=[16_384, 64])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BASE", request.param)
    monkeypatch.setattr(neighbours, "QUERIES", 100)


def test_equals_sorting_all_distances() -> None:
    rng = np.random.default_rng(0)
    base, queries = rng.standard_normal((700, 5)).astype(np.float32), rng.standard_normal((600, 5)).astype(np.float32)
    all_distances = ((queries[:, None] - base[None]) ** 2).sum(axis=2)
    rows, distances = nearest(queries, base, 7)
    assert np.array_equal(rows, np.argsort(all_distances, axis=1)[:, :7])
    assert np.allclose(distances, np.sort(all_distances, axis=1)[:, :7], atol=1e-5)


def test_far_from_the_origin_neighbours_are_the_same() -> None:
    rng = np.random.default_rng(0)
    base, queries = rng.standard_normal((700, 5)).astype(np.float32), rng.standard_normal((60, 5)).astype(np.float32)
    far = np.float32(4096)
    shifted = (queries + far).astype(np.float64), (base + far).astype(np.float64)
    expected = ((shifted[0][:, None] - shifted[1][None]) ** 2).sum(axis=2)
    found, _ = nearest(queries + far, base + far, 7)
    assert np.allclose(np.take_along_axis(expected, found, 1), np.sort(expected, axis=1)[:, :7], atol=1e-3)


def test_itself_is_left_out() -> None:
    base = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    found, _ = nearest(base, base, 100, itself=True)
    assert found.shape == (50, 49)
    assert not (found == np.arange(50)[:, None]).any()

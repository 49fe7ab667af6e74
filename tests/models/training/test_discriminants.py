import numpy as np
import pytest

from models.codes import hamming, pack
from models.itq import fit_itq
from models.training.discriminants import FACTORS, fit_discriminants


def made(items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Items whose ten numbers of largest variance change in their views, and whose others do not."""
    rng = np.random.default_rng(seed)
    spread = np.concatenate([np.full(10, 3.0), np.full(30, 1.0)]).astype(np.float32)
    inputs = spread * rng.standard_normal((items, 40), np.float32)
    moved = np.concatenate([np.full(10, 3.0), np.full(30, 0.2)]).astype(np.float32)
    return inputs, inputs[:, None] + moved * rng.standard_normal((items, 4, 40), np.float32)


def test_codes_do_not_notice_what_views_change() -> None:
    inputs, views = made(600)
    queries, altered = made(100, seed=1)

    def first(logits) -> float:
        codes, base = pack(logits(altered[:, 0])), pack(logits(queries))
        far = hamming(codes, base)
        return float(np.mean(far.diagonal() == far.min(axis=1)))

    found = fit_discriminants(inputs, views, 16)
    assert first(fit_itq(inputs, 16).logits) < 0.5
    assert first(found[1].logits) > 0.9


def test_directions_and_bits() -> None:
    inputs, views = made(200)
    found = fit_discriminants(inputs, views, 8)
    # Forty directions are five a bit: there are no more with the last factor.
    assert list(found) == list(FACTORS)
    assert all(linear.projection.shape == (40, 8) for linear in found.values())
    assert [np.linalg.matrix_rank(linear.projection) for linear in found.values()] == [8] * 4
    long = fit_discriminants(inputs, views, 64)
    assert list(long) == [1]
    assert long[1].projection.shape == (40, 64)


def test_views_that_change_nothing_leave_the_directions_in_which_items_differ() -> None:
    inputs, _ = made(300)
    linear = fit_discriminants(inputs, np.repeat(inputs[:, None], 3, axis=1), 8)[1]
    assert np.isfinite(linear.projection).all()
    # Those of the largest variance.
    assert np.square(linear.projection[:10]).sum() > 0.9 * np.square(linear.projection).sum()


def test_the_same_seed_gives_the_same_codes() -> None:
    inputs, views = made(100)
    one, two, other = (fit_discriminants(inputs, views, 24, seed)[1].projection for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.allclose(one, other)
    with pytest.raises(ValueError):
        fit_discriminants(inputs, views[:50], 24)

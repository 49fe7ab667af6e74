import numpy as np
import pytest

from models.evaluation.copies import at_rank_one


def test_ties_share_the_first_rank() -> None:
    """Logits are the features: codes 00, 01 and 11 of 8 bits, of which only two ever change."""

    def rows(*pairs: tuple[int, int]) -> np.ndarray:
        return np.array([[*pair, *[-1] * 6] for pair in pairs], np.float32)

    originals = rows((-1, -1), (-1, 1), (1, 1))
    views = np.stack([
        rows((-1, -1), (1, -1)),  # the first is its original; the second is as far from 00 as from 11
        rows((1, 1), (-1, 1)),  # the first is another; the second is its original
        rows((1, 1), (1, 1)),
    ])  # fmt: skip
    assert at_rank_one(lambda some: some, originals, views) == pytest.approx((1 + 1 / 2 + 0 + 1 + 1 + 1) / 6)

import numpy as np
import pytest

from models.codes import hamming, pack
from models.evaluation.copies import COLUMNS, COPIED, CopiesTrial, at_rank_one, average_precision


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


def random_trial(seed: int = 0) -> tuple[CopiesTrial, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((300, 24)).astype(np.float32)
    held_out, base = rows[:60], rows[60:]
    views = held_out[:, None] + 0.4 * rng.standard_normal((60, 5, 24), np.float32)
    return CopiesTrial(held_out, views, base), held_out, views, base


def test_columns_are_those_of_brute_force() -> None:
    """By the definition: every view beside every original and other item."""
    trial, held_out, views, base = random_trial()
    projection = np.random.default_rng(1).standard_normal((24, 32))
    codes = lambda rows: pack((rows @ projection).astype(np.float32))  # noqa: E731
    everything = np.concatenate([held_out, base])
    apart = np.square(held_out[:, None] - everything).sum(axis=2)
    near = np.median([np.square(views[i, v] - held_out[i]).sum() for i in range(60) for v in range(5)])
    near = min(near, np.median(np.sort(apart, axis=1)[:, 1]) / 4)
    copies, others, first = np.zeros(33), np.zeros(33), []
    for item in range(60):
        for row in hamming(codes(views[item]), codes(everything)):
            copies[row[item]] += 1 / 300
            first.append((row[item] == row.min()) / (row == row.min()).sum())
        far = hamming(codes(held_out[item : item + 1]), codes(everything))[0]
        for other in range(300):
            if apart[item, other] > near:
                others[far[other]] += 1 / 60
    found = trial.columns(lambda rows: (rows @ projection).astype(np.float32))
    assert found == pytest.approx(dict(zip(COLUMNS, (average_precision(copies, others), np.mean(first)), strict=True)))
    assert 0.1 < found[COLUMNS[0]] < 0.9


def test_average_precision_by_hand() -> None:
    assert average_precision(np.array([0.4, 0.6]), np.array([0.0, 0.0])) == pytest.approx(1)
    # Half of the pairs within 1 are others: 0.1 of an item has a copy, and 0.2 others are 0.1 pairs.
    assert average_precision(np.array([0.4, 0.6]), np.array([0.0, 2 * COPIED])) == pytest.approx(0.4 + 0.6 / 2)
    # Others at 0 spoil all that follows; a larger distance with a better precision makes up for it.
    assert average_precision(np.array([0.1, 0.9]), np.array([2 * COPIED, 0.0])) == pytest.approx(0.5)


def test_items_that_are_as_near_as_copies_are_not_held_against_a_code() -> None:
    _, held_out, views, base = random_trial()
    encode = lambda rows: rows  # noqa: E731
    alone = CopiesTrial(held_out, views, base).columns(encode)
    twins = CopiesTrial(held_out, views, np.concatenate([base, held_out[:20] + 0.01])).columns(encode)
    assert twins[COLUMNS[0]] == pytest.approx(alone[COLUMNS[0]], abs=0.05)
    assert alone[COLUMNS[0]] > 0.2


def test_the_score_is_the_mean_gain_over_the_reference() -> None:
    trial, *_ = random_trial()
    reference = dict(zip(COLUMNS, (0.5, 0.9), strict=True))
    assert trial.score(reference, reference) == 0
    assert trial.score(dict(zip(COLUMNS, (0.7, 0.8), strict=True)), reference) == pytest.approx(0.05)
    assert len(trial) == 60

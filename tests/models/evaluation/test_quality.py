"""The table against brute force: every metric by sorting all items, ties broken at random many times."""

import numpy as np
import pytest

from models.codes import hamming, pack
from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation
from models.evaluation.split import Split, part, split


@pytest.fixture(scope="module")
def data() -> Split:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 460)
    features = (rng.standard_normal((4, 9))[labels] + rng.standard_normal((460, 9))).astype(np.float32)
    return split(features, labels.astype(np.str_), 60 / 460, 60)


def _ranked(distances: np.ndarray, relevant: np.ndarray, seed: int) -> np.ndarray:
    """Relevance in one random order among ties."""
    noise = np.random.default_rng(seed).random(len(distances))
    return relevant[np.lexsort((noise, distances))]


@pytest.mark.parametrize("bits", [8, 72])
def test_codes_against_brute_force(data: Split, bits: int) -> None:
    encode = baselines(data.base, bits)["random projections"]
    found = Evaluation(data).codes("x", encode)
    base = data.base[:]
    distances = hamming(pack(encode(data.queries)), pack(encode(base)))
    true = np.argsort(((data.queries[:, None] - base[None]) ** 2).sum(axis=2), axis=1)[:, :10]
    sums: dict[str, list[float]] = {"p10": [], "p100": [], "map": [], "r10": [], "r100": []}
    assert data.base_labels is not None
    assert data.query_labels is not None
    for query, row in enumerate(distances):
        same = data.base_labels == data.query_labels[query]
        near = np.isin(np.arange(len(base)), true[query])
        for seed in range(40):
            labelled, recalled = _ranked(row, same, seed), _ranked(row, near, seed)
            sums["p10"].append(labelled[:10].mean())
            sums["p100"].append(labelled[:100].mean())
            precise = np.cumsum(labelled) / np.arange(1, len(row) + 1)
            sums["map"].append((precise * labelled).sum() / same.sum())
            sums["r10"].append(recalled[:10].sum() / 10)
            sums["r100"].append(recalled[:100].sum() / 10)
    means = {name: float(np.mean(values)) for name, values in sums.items()}
    assert found.precision_at_10 == pytest.approx(means["p10"], abs=0.01)
    assert found.precision_at_100 == pytest.approx(means["p100"], abs=0.01)
    assert found.mean_average_precision == pytest.approx(means["map"], abs=0.01)
    assert found.recall_10_at_10 == pytest.approx(means["r10"], abs=0.01)
    assert found.recall_10_at_100 == pytest.approx(means["r100"], abs=0.01)
    # All 400 items are among the 1,000 nearest codes: ranked by the features, they are the true neighbours.
    assert found.rescored_recall == 1.0


def test_asymmetric_ranking_of_the_nearest_codes(data: Split) -> None:
    encode = baselines(data.base, 64)["random projections"]
    found = Evaluation(data).codes("x", encode)
    base, logits = data.base[:], encode(data.queries)
    signs = np.where(encode(base) > 0, 1.0, -1.0)
    distances = hamming(pack(logits), pack(encode(base)))
    true = np.argsort(((data.queries[:, None] - base[None]) ** 2).sum(axis=2), axis=1)[:, :10]
    hits = []
    for query, row in enumerate(distances):
        candidates = np.argsort(row, kind="stable")[:100]
        best = candidates[np.argsort(-(signs[candidates] @ logits[query]))[:10]]
        hits.append(len(np.intersect1d(best, true[query])) / 10)
    assert found.asymmetric_recall == pytest.approx(np.mean(hits), abs=0.01)
    assert found.asymmetric_recall > found.recall_10_at_10


def test_floats_rank_themselves(data: Split) -> None:
    floats = Evaluation(data).floats()
    assert floats.recall_10_at_10 == 1.0
    base = data.base[:]
    order = np.argsort(((data.queries[:, None] - base[None]) ** 2).sum(axis=2), axis=1)
    assert data.base_labels is not None
    assert data.query_labels is not None
    same = data.base_labels[order] == data.query_labels[:, None]
    assert floats.precision_at_10 == pytest.approx(same[:, :10].mean())
    assert floats.precision_at_100 == pytest.approx(same[:, :100].mean())
    precise = np.cumsum(same, axis=1) / np.arange(1, same.shape[1] + 1)
    assert floats.mean_average_precision == pytest.approx(((precise * same).sum(axis=1) / same.sum(axis=1)).mean())


def test_held_out_items_are_no_longer_in_the_base() -> None:
    features = np.arange(20, dtype=np.float32).reshape(10, 2)
    parts = part(features, np.arange(10).astype(np.str_), np.array([2, 7]))
    assert parts.queries[:, 0].tolist() == [4, 14]
    assert parts.base[:][:, 0].tolist() == [0, 2, 6, 8, 10, 12, 16, 18]
    assert parts.base_labels is not None
    assert parts.base_labels.tolist() == list("01345689")

"""Evaluation: how well codes rank, beside their baselines, all in one run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.codes import hamming, pack
from models.itq import fit_itq, fit_pca_sign, fit_random_projections
from models.neighbours import nearest

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Features (n, d) -> logits (n, bits)."""
NEIGHBOURS = 10


@dataclass(frozen=True)
class Split:
    """Base items to search among and queries to search with; labels are None where there are none."""

    base: NDArray[np.float32]
    queries: NDArray[np.float32]
    base_labels: NDArray[np.str_] | None
    query_labels: NDArray[np.str_] | None


@dataclass(frozen=True)
class Quality:
    """One row of the quality table; label metrics are None without labels, code health is None for floats."""

    name: str
    precision_at_10: float | None
    precision_at_100: float | None
    mean_average_precision: float | None
    recall_10_at_10: float
    recall_10_at_100: float
    bit_entropy: float | None
    distinct: float | None


def split(
    features: NDArray[np.float32], labels: NDArray[np.str_] | None, share: float, most: int, seed: int = 0
) -> Split:
    """Hold out a random `share` of the items, at most `most`, as queries."""
    order = np.random.default_rng(seed).permutation(len(features))
    held = min(most, max(1, round(len(features) * share)))
    queries, base = order[:held], order[held:]
    if labels is None:
        return Split(features[base], features[queries], None, None)
    return Split(features[base], features[queries], labels[base], labels[queries])


def evaluate(data: Split, encoders: dict[str, Encode]) -> list[Quality]:
    """The quality of each encoder's codes by Hamming distance, and of the float features themselves last."""
    truth = nearest(data.queries, data.base, NEIGHBOURS)
    table = []
    for name, encode in encoders.items():
        codes = pack(encode(data.base))
        distances = hamming(pack(encode(data.queries)), codes)
        health = (metrics.bit_entropy(codes), metrics.distinct_share(codes))
        table.append(_quality(name, distances, data, truth, health))
    squares = np.einsum("ij,ij->i", data.base, data.base)
    floats = squares - 2.0 * (data.queries @ data.base.T)
    table.append(_quality("float features", floats, data, truth, (None, None)))
    return table


def baselines(base: NDArray[np.float32], bits: int) -> dict[str, Encode]:
    """Encoders fitted to the base items: PCA-ITQ, the signs of the components (if there are enough), random."""
    found: dict[str, Encode] = {"PCA-ITQ": fit_itq(base, bits).logits}
    if bits <= base.shape[1]:
        found["PCA sign"] = fit_pca_sign(base, bits).logits
    found["random projections"] = fit_random_projections(base, bits).logits
    return found


def _quality(
    name: str,
    distances: NDArray[np.floating] | NDArray[np.integer],
    data: Split,
    truth: NDArray[np.int64],
    health: tuple[float | None, float | None],
) -> Quality:
    precise: list[float | None] = [None, None, None]
    if data.base_labels is not None and data.query_labels is not None:
        matches = [data.base_labels == label for label in data.query_labels]
        pairs = list(zip(distances, matches, strict=True))
        precise = [
            _mean(metrics.precision_at(row, same, 10) for row, same in pairs),
            _mean(metrics.precision_at(row, same, 100) for row, same in pairs),
            _mean(metrics.average_precision(row, same) for row, same in pairs),
        ]
    recalls = [
        _mean(metrics.recall_at(row, near, k) for row, near in zip(distances, truth, strict=True)) for k in (10, 100)
    ]
    return Quality(name, precise[0], precise[1], precise[2], recalls[0], recalls[1], *health)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

"""The figures behind the charts, as plain functions of arrays."""

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes

Floats = NDArray[np.float64]


def smoothed(values: list[float], window: int) -> Floats:
    """Centred moving average (n,) over `window` values, over fewer at both ends."""
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, np.float64))])
    places = np.arange(len(values))
    start = np.maximum(places - (window - 1) // 2, 0)
    end = np.minimum(places + window // 2 + 1, len(values))
    average: Floats = (sums[end] - sums[start]) / (end - start)
    return average


def pair_distances(codes: Codes, others: Codes) -> NDArray[np.intp]:
    """Hamming distances (n,) between codes and others of one shape (n, bits / 8), pair by pair."""
    distances: NDArray[np.intp] = np.bitwise_count(codes ^ others).sum(axis=1, dtype=np.intp)
    return distances


def cosines(rows: NDArray[np.float32], others: NDArray[np.float32]) -> Floats:
    """Cosine similarities (n,) between rows (n, d) and others, pair by pair; 0 where one is all zeros."""
    left, right = rows.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosine: Floats = np.einsum("ij,ij->i", left, right) / np.where(lengths > 0, lengths, 1.0)
    return cosine


def variance_explained(rows: NDArray[np.float32], reconstructed: NDArray[np.float32], mean: Floats) -> float:
    """`1 - |x - r|^2 / |x - mean|^2`, both summed over rows (n, d): 1 is exact, 0 no better than the mean."""
    total = float(np.square(rows - mean).sum())
    return 1.0 - float(np.square(rows.astype(np.float64) - reconstructed).sum()) / total if total else 0.0

"""PCA-ITQ: the strongest linear hash without labels, a baseline and the start of training.

Gong and Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes", CVPR 2011.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.rows import Rows, blocks, draw

Matrix = NDArray[np.float64]
ITERATIONS = 50
SAMPLE = 20_000


@dataclass(frozen=True)
class LinearHash:
    """A linear hash: `logits = (features - mean) @ projection - thresholds`; projection is (d, bits) float64."""

    mean: NDArray[np.float64]
    projection: Matrix
    thresholds: NDArray[np.float64] | float = 0.0

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, bits) float32 of features (n, d) float32."""
        return ((features - self.mean) @ self.projection - self.thresholds).astype(np.float32)


class Principal(NamedTuple):
    """Mean (d,), variances (d,) in falling order and unit principal directions (d, d), one a column."""

    mean: NDArray[np.float64]
    variances: NDArray[np.float64]
    directions: Matrix


def mean_row(features: Rows) -> NDArray[np.float64]:
    """Mean (d,) float64 of features (n, d)."""
    total = np.zeros(features.shape[1])
    for block in blocks(features):
        total += block.sum(axis=0, dtype=np.float64)
    return total / len(features)


def principal_directions(features: Rows) -> Principal:
    """The principal directions of features (n, d), n of 2 or more."""
    if len(features.shape) != 2 or len(features) < 2:
        raise InvalidInputError(f"expected at least 2 rows of features, got shape {features.shape}")
    mean = mean_row(features)
    if len(features) < len(mean):
        return _of_few(features, mean)
    covariance = np.zeros((len(mean), len(mean)))
    for block in blocks(features):
        centred = block - mean
        covariance += centred.T @ centred
    variances, directions = np.linalg.eigh(covariance / len(features))
    order = np.argsort(-variances, kind="stable")
    return Principal(mean, np.maximum(variances[order], 0.0), directions[:, order])


def _of_few(features: Rows, mean: NDArray[np.float64]) -> Principal:
    """The same by the Gram matrix (n, n) of fewer rows than features, which is sooner decomposed."""
    centred = draw(features, len(features), 0) - mean
    squares, mixtures = np.linalg.eigh(centred @ centred.T / len(centred))
    order = np.argsort(-squares, kind="stable")
    squares = np.maximum(squares[order], 0.0)
    spanned = int((squares > 1e-12 * squares[0]).sum())
    # QR keeps the order of the columns, makes them orthonormal to the last digit, and adds those that span the rest.
    directions, triangle = np.linalg.qr(centred.T @ mixtures[:, order[:spanned]], mode="complete")
    directions[:, :spanned] *= np.where(np.diag(triangle) < 0, -1.0, 1.0)
    variances = np.zeros(len(mean))
    variances[:spanned] = squares[:spanned]
    return Principal(mean, variances, directions)


def fit_itq(features: Rows, bits: int, seed: int = 0, principal: Principal | None = None) -> LinearHash:
    """Fit PCA-ITQ to features (n, d) float32; `principal` are their principal directions, where they are known.

    Alternates `B = sign(V R)` with the orthogonal Procrustes solution for R. Where bits > d the rotation
    becomes a frame: R is (d, bits) with orthonormal rows, found by the same two steps.
    """
    mean, _, directions = principal or principal_directions(features)
    kept = directions[:, : min(bits, directions.shape[1])]
    rng = np.random.default_rng(seed)
    projected = (draw(features, SAMPLE, seed) - mean) @ kept
    rotation = np.linalg.qr(rng.standard_normal((bits, bits)))[0][: kept.shape[1]]
    for _ in range(ITERATIONS):
        corners = np.where(projected @ rotation > 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(projected.T @ corners, full_matrices=False)
        rotation = left @ right
    return LinearHash(mean, kept @ rotation)


def fit_pca_sign(features: Rows, bits: int, principal: Principal | None = None) -> LinearHash:
    """The signs of the leading principal components, of which there are d: bits <= d."""
    mean, _, directions = principal or principal_directions(features)
    if bits > directions.shape[1]:
        raise InvalidInputError(f"expected at most {directions.shape[1]} bits, one a feature, got {bits}")
    return LinearHash(mean, directions[:, :bits])


def fit_random_projections(features: Rows, bits: int, seed: int = 0) -> LinearHash:
    """Signs of random projections of the centred features (Charikar, STOC 2002)."""
    projection = np.random.default_rng(seed).standard_normal((features.shape[1], bits))
    return LinearHash(mean_row(features), projection)


def fit_signs(features: Rows, bits: int, seed: int = 0) -> LinearHash:
    """The features themselves, unrotated, each cut at its median; bits >= d.

    Where there are more bits than features, those of large variance are cut at several quantiles.
    """
    drawn = draw(features, SAMPLE, seed)
    dimension = drawn.shape[1]
    if bits < dimension:
        raise InvalidInputError(f"expected at least {dimension} bits, one a feature, got {bits}")
    order = np.argsort(-drawn.var(axis=0), kind="stable")
    projection, thresholds = np.zeros((dimension, bits)), np.zeros(bits)
    mean = mean_row(features)
    for place, feature in enumerate(order):
        own = np.arange(place, bits, dimension)
        projection[feature, own] = 1.0
        cuts = np.arange(1, len(own) + 1) / (len(own) + 1)
        thresholds[own] = np.quantile(drawn[:, feature], cuts) - mean[feature]
    return LinearHash(mean, projection, thresholds)

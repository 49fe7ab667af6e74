"""Discriminants: linear codes that notice what tells items apart, and not what alterations change.

Fisher's linear discriminants with a class for each item, whose members are the item and its altered views: of all
directions, those in which items differ most beside what alterations change (Fukunaga, "Introduction to Statistical
Pattern Recognition", 1990, section 10.2). More directions than bits tell more items apart, fewer are steadier.
"""

import numpy as np
from numpy.typing import NDArray

from models.itq import LinearHash, Matrix
from models.rows import BLOCK

FACTORS = (1, 2, 4, 8)
"""Directions for each bit."""
RIDGE = 0.3
"""Added to what alterations change in each direction, in parts of the mean: of few views that is badly known."""


def fit_discriminants(
    inputs: NDArray[np.float32], views: NDArray[np.float32], bits: int, seed: int = 0
) -> dict[int, LinearHash]:
    """For each factor that the inputs have directions for, signs of random orthogonal projections of the discriminants.

    `inputs` (n, r) are of the items, `views` (n, v, r) of their altered copies.
    """
    dimension = inputs.shape[1]
    mean = inputs.mean(axis=0, dtype=np.float64)
    between, within = np.zeros((dimension, dimension)), np.zeros((dimension, dimension))
    for start in range(0, len(inputs), BLOCK):
        some = inputs[start : start + BLOCK].astype(np.float64)
        moved = (views[start : start + BLOCK] - some[:, None]).reshape(-1, dimension)
        some -= mean
        between += some.T @ some / len(inputs)
        within += moved.T @ moved / (len(inputs) * views.shape[1])
    level = max(np.trace(within), 1e-9 * np.trace(between)) / dimension
    changes, axes = np.linalg.eigh(within + RIDGE * level * np.eye(dimension))
    whiten = axes * changes**-0.5 @ axes.T
    strengths, directions = np.linalg.eigh(whiten @ between @ whiten)
    order = np.argsort(-strengths, kind="stable")
    useful = int((strengths > 1e-9 * strengths[order[0]]).sum())
    order = order[:useful]
    directions = whiten @ directions[:, order]
    found = {}
    for factor in FACTORS:
        kept = min(factor * bits, useful)
        found[factor] = LinearHash(mean, directions[:, :kept] @ _turn(kept, bits, seed))
        if kept == useful:
            break
    return found


def _turn(directions: int, bits: int, seed: int) -> Matrix:
    """A random map (directions, bits) with orthonormal columns, or rows where there are more bits."""
    size = max(directions, bits)
    turned: Matrix = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]
    return turned[:directions, :bits]

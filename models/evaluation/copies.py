"""Copies: whether the code of an altered copy is nearest to that of its original."""

import numpy as np
from numpy.typing import NDArray

from models.codes import hamming, pack
from models.evaluation.baselines import Encode


def at_rank_one(encode: Encode, originals: NDArray[np.float32], views: NDArray[np.float32]) -> float:
    """The share of views (n, v, d) whose original, among all originals (n, d), is at rank 1; ties share it."""
    number = views.shape[1]
    distances = hamming(pack(encode(views.reshape(-1, views.shape[2]))), pack(encode(originals)))
    own = distances[np.arange(len(distances)), np.repeat(np.arange(len(originals)), number)][:, None]
    first = (distances < own).sum(axis=1) == 0
    return float(np.mean(first / (distances == own).sum(axis=1)))

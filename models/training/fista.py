"""FISTA: the sparse code of an item under a linear decoder, near to what the encoder predicts.

Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm", SIAM J. Imaging Sciences 2009, with a constant
step; the units are those of a sigmoid layer, so h stays in [0, 1].
"""

import math

import torch
from torch import Tensor

ITERATIONS = 30


def infer(
    inputs: Tensor, dictionary: Tensor, predicted: Tensor, sparsity: float, pull: float, iterations: int = ITERATIONS
) -> Tensor:
    """The h (m, bits) in [0, 1] that minimises `|x - D h|^2 + sparsity |h|_1 + pull |h - f(x)|^2` for each item.

    inputs x (m, r), dictionary D (r, bits), predicted f(x) (m, bits), where the search starts. Convex: there is one
    minimum wherever pull > 0.
    """
    gram = dictionary.T @ dictionary
    linear = inputs @ dictionary + pull * predicted
    # The gradient of the smooth part is Lipschitz with twice the largest eigenvalue of D'D + pull.
    step = 1 / (2 * (float(torch.linalg.eigvalsh(gram)[-1]) + pull))
    found = ahead = predicted
    momentum = 1.0
    for _ in range(iterations):
        gradient = 2 * (ahead @ gram + pull * ahead - linear)
        # The proximal step of sparsity |h|_1 within [0, 1].
        following = (ahead - step * (gradient + sparsity)).clamp(0, 1)
        after = (1 + math.sqrt(1 + 4 * momentum * momentum)) / 2
        ahead = following + (momentum - 1) / after * (following - found)
        found, momentum = following, after
    return found

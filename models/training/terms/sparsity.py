"""Sparsity: penalties on the sigmoid units that are priors on them (Goodfellow et al., "Deep Learning", 14.2.1).

A weight of lambda on a penalty is minus the log-density of its prior, up to a constant that does not depend on h.
"""

from torch import Tensor

from models.training.terms.step import Data, Step


class Sparsity:
    """`sum_j |h_j|`, mean over the items: the Laplace prior `lambda / 2 exp(-lambda |h_j|)` on each unit."""

    def __init__(self, data: Data) -> None:
        pass

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        return step.activations.abs().sum(dim=1).mean()


class GaussianSparsity:
    """`sum_j h_j^2`, mean over the items: the Gaussian prior of variance `1 / (2 lambda)` on each unit."""

    def __init__(self, data: Data) -> None:
        pass

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        return step.activations.square().sum(dim=1).mean()

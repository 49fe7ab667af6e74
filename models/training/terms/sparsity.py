"""Sparsity: the L1 penalty on the sigmoid units, minus the log-density of a Laplace prior up to a constant."""

from torch import Tensor

from models.training.terms.step import Data, Step


class Sparsity:
    """`sum_j |h_j|`, mean over the items (Goodfellow et al., "Deep Learning", section 14.2.1)."""

    def __init__(self, data: Data) -> None:
        pass

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        return step.activations.abs().sum(dim=1).mean()

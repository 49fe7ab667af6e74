"""Balance and decorrelation: every bit half the time on, no two bits saying the same.

Weiss et al., "Spectral Hashing", NIPS 2008, ask for both; here they are penalties on the code before the cut.
Neither is a mean over the items, so every process needs the codes of the whole batch.
"""

from torch import Tensor

from models.training.terms.step import Data, Step


class Balance:
    """Mean over the bits of the squared batch mean."""

    def __init__(self, data: Data) -> None:
        pass

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        return step.all_soft_codes.mean(dim=0).square().mean()


class Decorrelation:
    """Sum of the squared covariances between different bits, over the square of the number of bits."""

    def __init__(self, data: Data) -> None:
        pass

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        codes = step.all_soft_codes
        centred = codes - codes.mean(dim=0)
        covariance = centred.T @ centred / len(centred)
        diagonal = covariance.diagonal().square().sum()
        return (covariance.square().sum() - diagonal) / covariance.numel()

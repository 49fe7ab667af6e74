"""Reconstruction: the mean squared error between the clean inputs and what the decoder makes of the code."""

from torch import Tensor

from models.training.terms.step import Data, Step


class Reconstruction:
    """`mean (x - g(h))^2`; 1 is the error of always answering the mean, because inputs have a mean square of 1."""

    def __init__(self, data: Data) -> None:
        pass

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        error: Tensor = step.network.decoder(step.code) - step.clean
        return error.square().mean()

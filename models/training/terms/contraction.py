"""Contraction: the squared Frobenius norm of the encoder's Jacobian dh / dx.

Rifai et al., "Contractive Auto-Encoders", ICML 2011. One sigmoid layer has a closed form (their eq. 4); a deeper
encoder gets Hutchinson's unbiased estimate `E |v' J|^2 = |J|_F^2` with random signs v (Hutchinson 1990).
"""

import torch
from torch import Tensor

from models.training.terms.step import Data, Step


class Contraction:
    """Mean over the items of `|dh / dx|_F^2`, h being the sigmoid units."""

    def __init__(self, data: Data) -> None:
        self._closed_form = data.network.encoder.hidden is None
        self._generator = data.generator

    def __call__(self, step: Step) -> Tensor:
        """Scalar; the inputs of the step must require gradients where the encoder is deep."""
        if self._closed_form:
            return closed_form(step.activations, step.network.encoder.linear.weight)
        shape = (len(step.all_rows), step.logits.shape[1])
        signs = step.ranks.share(torch.randint(0, 2, shape, generator=self._generator)).to(step.logits) * 2 - 1
        (gradient,) = torch.autograd.grad((step.activations * signs).sum(), step.inputs, create_graph=True)
        return gradient.square().sum(dim=1).mean()


def closed_form(activations: Tensor, weight: Tensor) -> Tensor:
    """`mean over items of sum_j (h_j (1 - h_j))^2 |W_j|^2` for h = sigmoid(W x + b), W being (bits, r)."""
    slope = (activations * (1 - activations)).square()
    return (slope @ weight.square().sum(dim=1)).mean()

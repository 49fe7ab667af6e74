"""Hessian: how much the encoder's Jacobian changes nearby, the second-order penalty of contractive autoencoders.

Rifai et al., "Higher Order Contractive Auto-Encoder", ECML 2011: `E |J(x) - J(x + e)|_F^2` over Gaussian noise e of
standard deviation s is `s^2 |H(x)|^2` up to terms that vanish with s.
"""

import torch
from torch import Tensor

from models.training.terms.step import Data, Step

NOISE = 0.1
"""The standard deviation of e; inputs have a mean square of 1."""


class Hessian:
    """Mean over the items of `|J(x) - J(x + e)|_F^2`, one e drawn for each; J is dh / dx of the sigmoid units h."""

    def __init__(self, data: Data) -> None:
        self._closed_form = data.network.encoder.hidden is None
        self._generator = data.generator

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        encoder, inputs = step.network.encoder, step.inputs
        noise = NOISE * torch.randn(inputs.shape, generator=self._generator).to(inputs)
        if self._closed_form:
            return closed_form(step.activations, torch.sigmoid(encoder(inputs + noise)), encoder.linear.weight)
        # Hutchinson's estimate of a squared norm, of J(x) - J(x + e): the same signs on both sides.
        signs = torch.randint(0, 2, step.logits.shape, generator=self._generator).to(step.logits) * 2 - 1
        here = inputs.detach().requires_grad_()
        difference = torch.sigmoid(encoder(here)) - torch.sigmoid(encoder(here + noise))
        (gradient,) = torch.autograd.grad((difference * signs).sum(), here, create_graph=True)
        return gradient.square().sum(dim=1).mean()


def closed_form(here: Tensor, there: Tensor, weight: Tensor) -> Tensor:
    """`mean over items of sum_j (s_j(x) - s_j(x + e))^2 |W_j|^2` for one sigmoid layer, `s = h (1 - h)`.

    `here` and `there` are the units h (m, bits) at x and at x + e; `weight` W is (bits, r).
    """
    change = (here * (1 - here) - there * (1 - there)).square()
    return (change @ weight.square().sum(dim=1)).mean()

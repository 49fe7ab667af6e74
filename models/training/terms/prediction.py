"""Predictive sparse decomposition: the encoder learns to predict the sparse code that inference would find.

Kavukcuoglu, Ranzato and LeCun, "Fast Inference in Sparse Coding Algorithms with Applications to Object Recognition",
2008 (arXiv 1010.3467); Goodfellow et al., "Deep Learning", section 14.8.
"""

import torch
from torch import Tensor

from models.training.fista import infer
from models.training.terms.step import Data, Step

SPARSITY = 0.5
PULL = 1.0


class Prediction:
    """`min over h of |x - g(h)|^2 + lambda |h|_1 + gamma |h - f(x)|^2`, a mean over the items, divided by dim(x).

    h is found by FISTA and then held, which gives the gradient at the minimum (envelope theorem). g is the decoder's
    linear map: its residual branch stays at zero, and where it shares the encoder's weights there may be none. No
    column of the dictionary may grow longer than they were on average at the start: h could shrink for nothing
    otherwise (the paper holds them at unit length).
    """

    def __init__(self, data: Data) -> None:
        self._longest = float(data.network.decoder.parts().weight.detach().norm(dim=0).mean())

    def __call__(self, step: Step) -> Tensor:
        """Scalar; shortens the columns of the dictionary that have become too long."""
        layer, predicted = step.network.decoder.parts(), step.activations
        with torch.no_grad():
            layer.weight.mul_((self._longest / layer.weight.norm(dim=0).clamp_min(1e-12)).clamp_max(1))
        # The decoder sees 2 h - 1: W (2 h - 1) + b = 2 W h + (b - W 1).
        dictionary, offset = 2 * layer.weight, layer.bias - layer.weight.sum(dim=1)
        target = step.clean - offset
        with torch.no_grad():
            inferred = infer(target, dictionary, predicted, SPARSITY, PULL)
        error = (target - inferred @ dictionary.T).square().sum(dim=1)
        distance = (inferred - predicted).square().sum(dim=1)
        loss: Tensor = error + SPARSITY * inferred.sum(dim=1) + PULL * distance
        return loss.mean() / step.clean.shape[1]

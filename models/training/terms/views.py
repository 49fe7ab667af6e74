"""Views: the code of an altered copy is to be nearest to that of its original.

InfoNCE (van den Oord, Li and Vinyals, arXiv 1807.03748) between codes, over the originals of the batch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from models.training.network import binary_code
from models.training.terms.step import Data, Step

TEMPERATURE = 0.1
SHARP_TEMPERATURE = 0.05
VIEW_TERMS = frozenset({"views", "sharp_views"})
"""The names of the terms that see views."""


class Views:
    """Cross-entropy of `softmax_j(b(view_i) . b(original_j) / bits / 0.1)` against i, without the same item twice."""

    temperature = TEMPERATURE

    def __init__(self, data: Data) -> None:
        pass

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        originals = binary_code(step.network.encoder(step.all_clean.to(step.code.device)))
        near = step.code @ originals.T / step.code.shape[1] / self.temperature
        own = torch.arange(len(step.rows), device=near.device) + step.ranks.rank * len(step.rows)
        twice = step.same.clone()
        twice[torch.arange(len(own), device=near.device), own] = False
        return functional.cross_entropy(near.masked_fill(twice, -1e9), own)


class SharpViews(Views):
    """The same at half the temperature: only the nearest other items count, and nothing is drawn together."""

    temperature = SHARP_TEMPERATURE

"""Weight decay: the penalty on weights that a contractive one is compared with.

For a linear encoder the two are the same: its Jacobian is W everywhere (Rifai et al., "Contractive Auto-Encoders",
ICML 2011, section 3).
"""

import torch
from torch import Tensor

from models.training.terms.step import Data, Step


class WeightDecay:
    """`sum of W_ij^2` over all weight matrices of encoder and decoder, tied ones once; biases go free."""

    def __init__(self, data: Data) -> None:
        self._matrices = [parameter for parameter in data.network.parameters() if parameter.ndim == 2]

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        return torch.stack([matrix.square().sum() for matrix in self._matrices]).sum()

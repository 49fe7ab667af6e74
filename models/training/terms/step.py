"""What terms see: the data once, and then each step."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.training.network import Autoencoder, sigmoid_code


@dataclass(frozen=True)
class Data:
    """All that is trained on: `inputs` (n, r), how their neighbour graph is found, and how batches come."""

    inputs: Tensor
    find_graph: Callable[[], Tensor]
    network: Autoencoder
    sample_batch: Callable[[], Tensor]
    generator: torch.Generator

    @property
    def graph(self) -> Tensor:
        """Rows (n, k) of nearest neighbours; most terms need none, and it takes long to find."""
        return self.find_graph()


@dataclass(frozen=True)
class Step:
    """One batch of m items on its way through the network.

    `rows` (m,) says which items; `clean` (m, r) their inputs, `inputs` the same after corruption; `logits` (m, bits);
    `code` (m, bits) in [-1, 1], cut or not as the objective says.
    """

    network: Autoencoder
    rows: Tensor
    clean: Tensor
    inputs: Tensor
    logits: Tensor
    code: Tensor

    @property
    def activations(self) -> Tensor:
        """The sigmoid units h (m, bits) in (0, 1)."""
        return torch.sigmoid(self.logits)

    @property
    def soft_code(self) -> Tensor:
        """The code before the cut, (m, bits) in (-1, 1)."""
        return sigmoid_code(self.logits)

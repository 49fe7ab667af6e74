"""What terms see: the data once, and then each step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.training.network import Autoencoder, sigmoid_code
from models.training.sample import Sample


@dataclass(frozen=True)
class Data:
    """All that is trained on, the network at its start, and how batches of rows come."""

    sample: Sample
    network: Autoencoder
    sample_batch: Callable[[], Tensor]
    generator: torch.Generator


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

    @cached_property
    def same(self) -> Tensor:
        """Which pairs of the batch are one item, (m, m) bool: an item may come more than once."""
        rows = self.rows.to(self.code.device)
        return rows[:, None] == rows[None]

    @cached_property
    def cosines(self) -> Tensor:
        """Inner products of the codes over the number of bits, (m, m)."""
        return self.code @ self.code.T / self.code.shape[1]

    @cached_property
    def activations(self) -> Tensor:
        """The sigmoid units h (m, bits) in (0, 1)."""
        return torch.sigmoid(self.logits)

    @cached_property
    def soft_code(self) -> Tensor:
        """The code before the cut, (m, bits) in (-1, 1)."""
        return sigmoid_code(self.logits)

"""What terms see: the data once, and then each step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.training.network import Autoencoder, sigmoid_code
from models.training.ranks import ALONE, Ranks
from models.training.sample import Sample


@dataclass(frozen=True)
class Data:
    """All that is trained on, the network at its start, and how batches of rows come."""

    sample: Sample
    network: Autoencoder
    sample_batch: Callable[[], Tensor]
    generator: torch.Generator


@dataclass(frozen=True)
class Batch:
    """Items of a batch: which, `rows` (m,), and their inputs, `clean` (m, r)."""

    rows: Tensor
    clean: Tensor


@dataclass(frozen=True)
class Step:
    """One batch of m items on its way through the network, or one process's share of it.

    `rows` (m,) says which items; `clean` (m, r) their inputs, `inputs` the same after corruption; `logits` (m, bits);
    `code` (m, bits) in [-1, 1], cut or not as the objective says. Where they are a share, `batch` has all M items of
    the batch; terms that compare items with one another compare own items with all.
    """

    network: Autoencoder
    rows: Tensor
    clean: Tensor
    inputs: Tensor
    logits: Tensor
    code: Tensor
    batch: Batch | None = None
    ranks: Ranks = ALONE

    @property
    def all_rows(self) -> Tensor:
        """`rows` of the whole batch, (M,)."""
        return self.rows if self.batch is None else self.batch.rows

    @property
    def all_clean(self) -> Tensor:
        """`clean` of the whole batch, (M, r)."""
        return self.clean if self.batch is None else self.batch.clean

    @cached_property
    def all_codes(self) -> Tensor:
        """`code` of the whole batch, (M, bits), as all processes made it."""
        return self.ranks.gather(self.code)

    @cached_property
    def all_soft_codes(self) -> Tensor:
        """`soft_code` of the whole batch, (M, bits)."""
        return self.ranks.gather(self.soft_code)

    @cached_property
    def same(self) -> Tensor:
        """Which own items are which of the batch, (m, M) bool: an item may come more than once."""
        rows, others = self.rows.to(self.code.device), self.all_rows.to(self.code.device)
        return rows[:, None] == others[None]

    @cached_property
    def cosines(self) -> Tensor:
        """Inner products of own codes with all over the number of bits, (m, M)."""
        return self.code @ self.all_codes.T / self.code.shape[1]

    @cached_property
    def activations(self) -> Tensor:
        """The sigmoid units h (m, bits) in (0, 1)."""
        return torch.sigmoid(self.logits)

    @cached_property
    def soft_code(self) -> Tensor:
        """The code before the cut, (m, bits) in (-1, 1)."""
        return sigmoid_code(self.logits)

"""The processes that train one network together, each on its share of every batch.

Each holds all that is trained on and draws the same random numbers, so that every one knows the whole batch; only what
the network makes of the items has to be sent.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx
from torch.nn.parallel import DistributedDataParallel

from models.errors import InvalidInputError

# While one process reads, searches neighbours or measures, the others wait: as long as that may take.
PATIENCE = timedelta(days=7)
CHUNK = 2**28


class OtherProcessError(InvalidInputError):
    """Another process of the same training ended, or could not be reached."""


@dataclass(frozen=True)
class Ranks:
    """Process `rank` of `count`, counted from 0; the first is the one that reads and writes files."""

    rank: int = 0
    count: int = 1
    waiting: Any = None
    """The group by which processes wait for the first."""

    @property
    def first(self) -> bool:
        """Whether this is the process that reads and writes."""
        return self.rank == 0

    def check(self, items: int) -> None:
        """Raise InvalidInputError where a batch of so many items has no equal shares: means of means would be wrong."""
        if items % self.count:
            raise InvalidInputError(f"expected processes that divide the {items} items of a batch, got {self.count}")

    def share(self, batch: Tensor) -> Tensor:
        """Own rows (m / count, ...) of a batch (m, ...)."""
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size] if self.count > 1 else batch

    def gather(self, own: Tensor) -> Tensor:
        """The batch (m, ...) of all own rows (m / count, ...), through which gradients flow to every process."""
        if self.count == 1:
            return own
        gathered: Tensor = _Gather.apply(own, self)  # type: ignore[no-untyped-call]
        return gathered

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, without gradient."""
        if self.count == 1:
            return values.detach()
        total = values.detach().clone()
        distributed.all_reduce(total)
        return total / self.count

    def together(self, module: nn.Module, all_used: bool) -> nn.Module:
        """A module whose gradients are the mean over the processes; it starts as that of the first one.

        `all_used` is whether every weight has a gradient at every step: DistributedDataParallel would wait for it.
        """
        if self.count == 1:
            return module
        return DistributedDataParallel(module, find_unused_parameters=not all_used)

    def from_first(self, content: bytes | None) -> bytes | None:
        """What the first process has, in every one; the others wait for it."""
        if self.count == 1:
            return content
        size = torch.tensor([-1 if content is None else len(content)])
        distributed.broadcast(size, 0, self.waiting)
        if int(size) < 0:
            return None
        sent = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(int(size)).byte()
        for start in range(0, len(sent), CHUNK):
            distributed.broadcast(sent[start : start + CHUNK], 0, self.waiting)
        return sent.numpy().tobytes()


ALONE = Ranks()


class _Gather(torch.autograd.Function):
    """All own rows, one after the other; backward, the sum of what every process says of the own rows.

    Each process differentiates its own loss, and DistributedDataParallel averages: together the mean loss's gradient.
    """

    @staticmethod
    def forward(context: FunctionCtx, own: Tensor, ranks: Ranks) -> Tensor:
        context.ranks = ranks  # type: ignore[attr-defined]
        parts = [torch.empty_like(own) for _ in range(ranks.count)]
        distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        ranks: Ranks = context.ranks  # type: ignore[attr-defined]
        total = gradient.contiguous()
        distributed.all_reduce(total)
        return ranks.share(total), None


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes that `torchrun` started, by its variables; this one alone where there are none."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        waiting = distributed.new_group(timeout=PATIENCE, backend="gloo")
        yield Ranks(distributed.get_rank(), count, waiting)
    except (RuntimeError, distributed.DistError) as error:
        # PyTorch tells of a lost connection as a plain RuntimeError.
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise OtherProcessError(
                f"expected every process to go on, lost one: {str(error).splitlines()[0]}"
            ) from None
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()

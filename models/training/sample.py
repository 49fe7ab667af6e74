"""What training sees of the features: a sample where there are many, as the network's inputs."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.training.graph import Track, neighbour_graph
from models.training.inputs import Projection
from models.training.smoothing import smooth

VIEWED = 0.75


@dataclass(frozen=True)
class Sample:
    """Features (n, d), how they become inputs, the inputs (n, r), and how their neighbour graph is made.

    Graph and smoothed inputs are found when they are first asked for: plain batches need neither.
    """

    features: Tensor
    projection: Projection
    inputs: Tensor
    neighbours: int
    seed: int
    track: Track = lambda numbers: numbers
    views: Tensor | None = None
    """Inputs (n, v, r) of v views of each item, where documents were altered for training."""

    def project(self, features: Tensor) -> Tensor:
        """Inputs (m, r) of features (m, d) on the CPU, in single precision."""
        mean, into = self._maps
        return (features - mean) @ into

    @cached_property
    def _maps(self) -> tuple[Tensor, Tensor]:
        projection = self.projection
        into = torch.from_numpy(projection.directions * projection.scale).float()
        return torch.from_numpy(projection.mean).float(), into

    def view(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs (m, r) of the items `rows` (m,), three in four as one of their views, drawn at random."""
        clean = self.inputs[rows]
        if self.views is None:
            return clean
        drawn = torch.randint(self.views.shape[1], (len(rows),), generator=generator)
        altered = torch.rand((len(rows), 1), generator=generator) < VIEWED
        return torch.where(altered, self.views[rows, drawn], clean)

    @cached_property
    def graph(self) -> Tensor:
        """Rows (n, k) int64 of nearest neighbours."""
        return neighbour_graph(self.inputs, min(self.neighbours, len(self.inputs) - 1), self.seed, self.track)

    @cached_property
    def smoothed(self) -> Tensor:
        """Inputs (n, r) averaged over the graph."""
        return smooth(self.inputs, self.graph)

    @cached_property
    def shared(self) -> float:
        """The share of the inputs' variance that smoothing keeps: what neighbours have in common."""
        return float(self.smoothed.square().sum() / self.inputs.square().sum())

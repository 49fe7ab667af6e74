"""What training sees of the features: a sample where there are many, as the network's inputs."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.errors import InvalidInputError
from models.rows import Rows, draw
from models.training.config import Config
from models.training.graph import Track, neighbour_graph
from models.training.inputs import Projection, fit_projection

MINIMUM_ITEMS = 20


@dataclass(frozen=True)
class Sample:
    """Features (n, d), how they become inputs, the inputs (n, r), and how their neighbour graph is made."""

    features: Tensor
    projection: Projection
    inputs: Tensor
    neighbours: int
    seed: int
    track: Track

    @cached_property
    def graph(self) -> Tensor:
        """Rows (n, k) of nearest neighbours, found when they are first asked for: plain batches need none."""
        return neighbour_graph(self.inputs, min(self.neighbours, len(self.inputs) - 1), self.seed, self.track)


def draw_sample(features: Rows, config: Config, track: Track = lambda numbers: numbers) -> Sample:
    """Draw what a config trains on from features (n, d); depends on neither its objective nor its bits.

    The projection is fitted to all features, which are read a block at a time; at most `config.sample` rows are kept.
    `track` wraps the search for neighbours, to show progress.
    """
    if len(features) < MINIMUM_ITEMS:
        raise InvalidInputError(f"expected at least {MINIMUM_ITEMS} items to train on, got {len(features)}")
    projection = fit_projection(features, config.components)
    kept = draw(features, config.sample, config.seed)
    inputs = torch.from_numpy(projection.forward(kept))
    return Sample(torch.from_numpy(kept), projection, inputs, config.neighbours, config.seed, track)

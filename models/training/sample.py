"""What training sees of the features: a sample where there are many, as the network's inputs."""

from dataclasses import dataclass

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
    """Features (n, d), how they become inputs, the inputs (n, r), and the graph (n, k) of nearest neighbours."""

    features: Tensor
    projection: Projection
    inputs: Tensor
    graph: Tensor


def draw_sample(features: Rows, config: Config, track: Track = lambda numbers: numbers) -> Sample:
    """Draw what a config trains on from features (n, d); depends on neither its objective nor its bits.

    The projection is fitted to all features, which are read a block at a time; at most `config.sample` rows are kept.
    """
    if len(features) < MINIMUM_ITEMS:
        raise InvalidInputError(f"expected at least {MINIMUM_ITEMS} items to train on, got {len(features)}")
    projection = fit_projection(features, config.components)
    kept = draw(features, config.sample, config.seed)
    inputs = torch.from_numpy(projection.forward(kept))
    neighbours = min(config.neighbours, len(kept) - 1)
    return Sample(torch.from_numpy(kept), projection, inputs, neighbour_graph(inputs, neighbours, config.seed, track))

"""From features to what is trained on."""

import torch

from models.errors import InvalidInputError
from models.itq import Principal
from models.rows import Rows, draw
from models.training.config import Config
from models.training.graph import Track
from models.training.inputs import fit_projection
from models.training.sample import Sample

MINIMUM_ITEMS = 20


def draw_sample(
    features: Rows, config: Config, track: Track = lambda numbers: numbers, principal: Principal | None = None
) -> Sample:
    """Draw what a config trains on from features (n, d); depends on neither its objective nor its bits.

    The projection is fitted to all features, which are read a block at a time; at most `config.sample` rows are kept.
    `track` wraps the search for neighbours, to show progress; `principal` are the features' directions, where known.
    """
    if (size := min(len(features), config.sample)) < MINIMUM_ITEMS:
        raise InvalidInputError(f"expected at least {MINIMUM_ITEMS} items to train on, got {size}")
    projection = fit_projection(features, config.components, principal)
    kept = draw(features, config.sample, config.seed)
    inputs = torch.from_numpy(projection.forward(kept))
    return Sample(torch.from_numpy(kept), projection, inputs, config.neighbours, config.seed, track)

"""From features to what is trained on."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.itq import Principal
from models.rows import Rows, draw, draw_places
from models.training.config import Config
from models.training.graph import Track
from models.training.inputs import fit_projection
from models.training.sample import Sample

MINIMUM_ITEMS = 20

Views = Callable[[NDArray[np.intp]], Iterator[NDArray[np.float32]]]
"""Places of items -> features (k, v, d) of v views of each, some items at a time."""


def draw_sample(
    features: Rows,
    config: Config,
    track: Track = lambda numbers: numbers,
    principal: Principal | None = None,
    views: Views | None = None,
) -> Sample:
    """Draw what a config trains on from features (n, d); depends on neither its objective nor its bits.

    The projection is fitted to all features, which are read a block at a time; at most `config.sample` rows are kept.
    `track` wraps the search for neighbours, to show progress; `principal` are the features' directions, where known;
    `views` gives the features of the views of the items at some places.
    """
    if (size := min(len(features), config.sample)) < MINIMUM_ITEMS:
        raise InvalidInputError(f"expected at least {MINIMUM_ITEMS} items to train on, got {size}")
    projection = fit_projection(features, config.components or config.resolved().components, principal)
    kept = draw(features, config.sample, config.seed)
    inputs = torch.from_numpy(projection.forward(kept))
    altered = None
    if views is not None:
        places = draw_places(len(features), config.sample, config.seed)
        each = []
        for rows in views(places):
            inputs_of_views = projection.forward(rows.reshape(-1, rows.shape[2]))
            each.append(inputs_of_views.reshape(*rows.shape[:2], -1))
        altered = torch.from_numpy(np.concatenate(each))
    return Sample(torch.from_numpy(kept), projection, inputs, config.neighbours, config.seed, track, altered)

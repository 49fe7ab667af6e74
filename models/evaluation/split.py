"""Which items are searched among, and which are queries."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.rows import Rows, Selection

Labels = NDArray[np.str_] | None


@dataclass(frozen=True)
class Split:
    """Base items to search among and queries to search with; labels are None where there are none.

    `base_numbers` and `query_numbers` (n,) say which item of the data each row is, counted from 0.
    """

    base: Rows
    queries: NDArray[np.float32]
    base_labels: Labels
    query_labels: Labels
    base_numbers: NDArray[np.intp]
    query_numbers: NDArray[np.intp]


def split(features: Rows, labels: Labels, share: float, most: int, seed: int = 0) -> Split:
    """Hold out a random `share` of the items, at most `most`, as queries; both parts keep the order of the items."""
    held = min(most, max(1, round(len(features) * share)))
    return part(features, labels, np.sort(np.random.default_rng(seed).permutation(len(features))[:held]))


def part(features: Rows, labels: Labels, held: NDArray[np.intp]) -> Split:
    """The items numbered `held` are queries, all others the base."""
    rest = np.delete(np.arange(len(features)), held)
    base, queries = Selection(features, rest), np.asarray(features[held])
    if labels is None:
        return Split(base, queries, None, None, rest, held)
    return Split(base, queries, labels[rest], labels[held], rest, held)

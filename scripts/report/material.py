"""What a report is made of, and the part of it that is looked at: all of it may be more than memory holds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, pack
from models.evaluation.quality import Quality
from models.evaluation.split import Labels, Split
from models.hasher import Hasher
from models.rows import Rows
from models.training.loop import Trained
from scripts.datasets import Dataset, Item

MOST_BASE = 5000
MOST_QUERIES = 1000
SEED = 0


@dataclass(frozen=True)
class Material:
    """A hasher, how it was trained, the data, and its quality table, also at other code lengths where measured.

    Each table has the hasher first and the float features last. `seconds` is how long training took, if known.
    """

    hasher: Hasher
    trained: Trained
    split: Split
    data: Dataset
    table: list[Quality]
    by_bits: dict[int, list[Quality]]
    seconds: float | None = None


@dataclass(frozen=True)
class Drawn:
    """Some items: features (n, d) float32, codes (n, bits / 8), labels (n,) or None, and numbers (n,) in the data."""

    rows: NDArray[np.float32]
    codes: Codes
    labels: Labels
    numbers: NDArray[np.intp]


def draw_base(material: Material) -> Drawn:
    """At most 5,000 base items, drawn at random, the same each time."""
    split = material.split
    return _draw(material.hasher, split.base, split.base_labels, split.base_numbers, MOST_BASE)


def draw_queries(material: Material) -> Drawn:
    """At most 1,000 queries, drawn at random, the same each time."""
    split = material.split
    return _draw(material.hasher, split.queries, split.query_labels, split.query_numbers, MOST_QUERIES)


def read_items(data: Dataset, numbers: set[int]) -> dict[int, Item]:
    """The items with these numbers; the data are walked no further than the last of them."""
    found: dict[int, Item] = {}
    for number, item in enumerate(data.walk()):
        if number in numbers:
            found[number] = item
        if len(found) == len(numbers):
            break
    return found


def pick_shown(queries: Drawn, most: int) -> NDArray[np.intp]:
    """Places (m,) of queries to show: one of each label before a second of any."""
    order = np.random.default_rng(SEED).permutation(len(queries.rows))
    if queries.labels is not None:
        labels = queries.labels[order]
        _, first = np.unique(labels, return_index=True)
        order = np.concatenate([order[np.sort(first)], np.delete(order, first)])
    return np.sort(order[:most])


def _draw(hasher: Hasher, rows: Rows, labels: Labels, numbers: NDArray[np.intp], most: int) -> Drawn:
    places = np.random.default_rng(SEED).permutation(len(rows))[:most]
    places.sort()
    chosen = np.asarray(rows[places])
    return Drawn(chosen, pack(hasher.logits(chosen)), None if labels is None else labels[places], numbers[places])

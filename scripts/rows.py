"""Datasets through features: all rows at once for training, in batches of constant size for encoding."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.features import Features
from scripts.console import track
from scripts.datasets import Dataset

BATCH = 256


def read_rows(data: Dataset, features: Features) -> tuple[NDArray[np.float32], NDArray[np.str_] | None]:
    """Features (n, d) float32 and labels (n,), None where not every item has one; raises at the first bad item."""
    labels: list[str | None] = []
    rows = np.empty((data.size, features.dimension), np.float32)
    place = 0
    for batch, batch_labels in batches(data, features):
        rows[place : place + len(batch)] = batch
        labels += batch_labels
        place += len(batch)
    known = [label for label in labels if label is not None]
    return rows[:place], np.array(known) if len(known) == place else None


def batches(data: Dataset, features: Features) -> Iterator[tuple[NDArray[np.float32], list[str | None]]]:
    """Features and labels of the dataset, in its order, at most 256 items at a time, with a progress bar."""
    if features.modality != data.modality:
        raise InvalidInputError(f"expected {features.modality} items, got {data.modality} items from {data.name}")
    rows, labels = [], []
    for item in track(data.walk(), "reading", data.size):
        try:
            rows.append(features.row(item.document))
        except InvalidInputError as error:
            raise InvalidInputError(f"item {item.id!r} of {data.name}: {error}") from None
        labels.append(item.label)
        if len(rows) == BATCH:
            yield np.stack(rows), labels
            rows, labels = [], []
    if rows:
        yield np.stack(rows), labels

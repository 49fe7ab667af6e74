"""Rows of features that may be more than memory holds: read by slices, never all at once."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096


class Selection:
    """Some rows of a matrix (n, d), which may lie on disk, by their numbers; nothing is copied until it is read."""

    def __init__(self, matrix: "NDArray[np.float32] | Selection", numbers: NDArray[np.intp]) -> None:
        self._matrix = matrix
        self._numbers = numbers
        self.shape: tuple[int, int] = (len(numbers), matrix.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, places: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """The rows (m, d) at a slice or at some places of the selection."""
        chosen: NDArray[np.float32] = self._matrix[self._numbers[places]]
        return chosen


Rows = NDArray[np.float32] | Selection
"""Features (n, d) float32: an array, in memory or mapped from a file, or a selection of its rows."""


def blocks(rows: Rows, size: int = BLOCK) -> Iterator[NDArray[np.float32]]:
    """The rows in their order, (at most `size`, d) at a time."""
    for start in range(0, len(rows), size):
        yield _whole(rows[start : start + size])


def draw(rows: Rows, most: int, seed: int) -> NDArray[np.float32]:
    """All rows, or `most` of them drawn at random, in their order."""
    return _whole(rows[:]) if len(rows) <= most else rows[draw_places(len(rows), most, seed)]


def draw_places(items: int, most: int, seed: int) -> NDArray[np.intp]:
    """Which rows of so many `draw` draws, in their order."""
    if items <= most:
        return np.arange(items)
    return np.sort(np.random.default_rng(seed).choice(items, most, replace=False))


def _whole(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same rows as C and PyTorch want them: rows mapped from a file are read-only and may lie at odd addresses."""
    return np.require(rows, requirements=["C", "A", "W"])

"""Copies: whether the code of an altered copy is near that of its original, and nearer than those of other items."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, hamming, pack
from models.evaluation.baselines import Encode

COPIED = 0.1
"""The share of items with a copy that precision is told for."""
COLUMNS = ("average precision", "first place")
BLOCK = 256


def at_rank_one(encode: Encode, originals: NDArray[np.float32], views: NDArray[np.float32]) -> float:
    """The share of views (n, v, d) whose original, among all originals (n, d), is at rank 1; ties share it."""
    number = views.shape[1]
    codes, own = pack(encode(originals)), np.repeat(np.arange(len(originals)), number)
    altered = pack(encode(views.reshape(-1, views.shape[2])))
    return float(np.concatenate([shares for _, shares in _first_places(altered, codes, own)]).mean())


def _first_places(
    views: Codes, codes: Codes, own: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """For blocks of views (m,), the distance to the original and the probability that it comes first among codes (n,).

    `own` (m,) is the place of each view's original among the codes.
    """
    for start in range(0, len(views), BLOCK):
        some = slice(start, start + BLOCK)
        distances = hamming(views[some], codes)
        mine = distances[np.arange(len(distances)), own[some]][:, None]
        yield mine[:, 0], ((distances < mine).sum(axis=1) == 0) / (distances == mine).sum(axis=1)


class CopiesTrial:
    """Held-out items (m, d), altered copies of each (m, v, d), and the base (n, d) that they are searched among.

    Items that are nearer to each other, by features, than most copies are to their originals, and less than half as
    far as items usually are from their nearest, are near-copies by nature: they count neither as right nor as wrong.
    """

    criterion = (
        "the highest score: the mean of the average precision with which pairs of held-out items and their altered "
        f"copies are found by distance, where one item in {1 / COPIED:g} has a copy, and the share of copies whose "
        "original is at the first place; each less the reference's"
    )

    def __init__(self, held_out: NDArray[np.float32], views: NDArray[np.float32], base: NDArray[np.float32]) -> None:
        self._held_out, self._views, self._base = held_out, views, base
        apart = _squared_distances(held_out, np.concatenate([held_out, base]))
        own = np.arange(len(held_out))
        apart[own, own] = np.inf
        copied = float(np.median(np.square(views - held_out[:, None]).sum(axis=2)))
        near = min(copied, float(np.median(apart.min(axis=1))) / 4)
        apart[own, own] = -np.inf
        self._others = apart > near

    def __len__(self) -> int:
        return len(self._held_out)

    def columns(self, encode: Encode) -> dict[str, float]:
        """The average precision of pairs by distance, and the share of copies whose original is at the first place."""
        codes = pack(encode(self._held_out))
        everything = np.concatenate([codes, pack(encode(self._base))])
        bits = 8 * codes.shape[1]
        own = np.repeat(np.arange(len(codes)), self._views.shape[1])
        altered = pack(encode(self._views.reshape(-1, self._views.shape[2])))
        found = list(_first_places(altered, everything, own))
        copies = np.bincount(np.concatenate([distances for distances, _ in found]), minlength=bits + 1) / len(altered)
        first = float(np.concatenate([shares for _, shares in found]).mean())
        precision = average_precision(copies, self._at_distances(codes, everything))
        return dict(zip(COLUMNS, (precision, first), strict=True))

    def _at_distances(self, codes: Codes, everything: Codes) -> NDArray[np.float64]:
        """How many other items an item has at each distance (bits + 1,), near-copies by nature left out."""
        counts = np.zeros(8 * codes.shape[1] + 1)
        for start in range(0, len(codes), BLOCK):
            far = hamming(codes[start : start + BLOCK], everything)
            counts += np.bincount(far[self._others[start : start + BLOCK]], minlength=len(counts))
        return counts / len(codes)

    def score(self, own: Mapping[str, float], reference: Mapping[str, float]) -> float:
        """The mean difference from the figures of the reference; 0 for the reference itself."""
        return float(np.mean([own[column] - reference[column] for column in COLUMNS]))


def _squared_distances(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m, n) squared L2 distances of rows (m, d) to others (n, d)."""
    # Far from the origin, squares in single precision would drown the differences between them.
    origin = rows.mean(axis=0)
    rows, others = rows - origin, others - origin
    apart: NDArray[np.float32] = np.square(rows).sum(axis=1)[:, None] + np.square(others).sum(axis=1)
    apart -= 2 * rows @ others.T
    return apart


def average_precision(copies: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The area under the curve of precision over recall, as the distance grows.

    `copies` (t,) is the share of copies at each distance from 0 on, `others` (t,) how many other items an item has
    there. The precision at a recall is the best one at that recall or above it.
    """
    right = COPIED * np.cumsum(copies)
    # Each pair of other items is seen from both.
    wrong = np.cumsum(others) / 2
    precision = right / np.maximum(right + wrong, 1e-12)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best @ copies)

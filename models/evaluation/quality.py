"""The quality of codes: how they rank a base for queries, beside what the float features themselves say."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, asymmetric, pack
from models.evaluation import metrics
from models.evaluation.baselines import Encode
from models.evaluation.metrics import TieGroups
from models.evaluation.split import Split
from models.neighbours import nearest
from models.rows import blocks

NEIGHBOURS = 10
DEPTH = 1000
RERANKED = 100

Track = Callable[[Iterable[int], str], Iterable[int]]


@dataclass(frozen=True)
class Quality:
    """One row of the quality table; label metrics are None without labels, others None where they have no meaning.

    Precision and mAP are by label. Recall 10@k is the share of the 10 nearest by float distance among the k nearest
    codes. `asymmetric_recall` is recall 10@10 after the 100 nearest codes are ranked by asymmetric distance,
    `rescored_recall` after the 1,000 nearest are ranked by the features themselves.
    """

    name: str
    precision_at_10: float | None
    precision_at_100: float | None
    mean_average_precision: float | None
    recall_10_at_10: float
    recall_10_at_100: float
    asymmetric_recall: float | None
    rescored_recall: float | None
    bit_entropy: float | None
    distinct: float | None


class Evaluation:
    """One split whose true neighbours are known, to hold any number of encoders to."""

    def __init__(self, data: Split, track: Track = lambda numbers, _: numbers) -> None:
        self._data = data
        self._near, self._distances = nearest(
            data.queries, data.base, DEPTH, track=lambda starts: track(starts, "true neighbours")
        )
        self._order = np.random.default_rng(0).permutation(len(data.base))
        self._members: dict[str, NDArray[np.intp]] = {}
        if data.base_labels is not None:
            names, which = np.unique(data.base_labels, return_inverse=True)
            ends = np.bincount(which).cumsum()[:-1]
            places = np.split(which.argsort(kind="stable"), ends)
            self._members = {str(name): members for name, members in zip(names, places, strict=True)}

    def floats(self) -> Quality:
        """What the float features themselves reach."""
        near, distances = self._near, self._distances
        unranked = len(self._data.base) - near.shape[1]
        labelled, recalled = [], []
        for number in range(len(near)):
            relevant = np.arange(near.shape[1]) < NEIGHBOURS
            recalled.append(metrics.tie_groups(distances[number], relevant))
            if (members := self._same_label(number)) is not None:
                same = np.isin(near[number], members)
                rest = (unranked, len(members) - int(same.sum()))
                labelled.append(metrics.tie_groups(distances[number], same, rest))
        recall = [_mean(metrics.recall_at(groups, k) for groups in recalled) for k in (NEIGHBOURS, 100)]
        return Quality("float features", *_by_label(labelled), recall[0], recall[1], None, None, None, None)

    def codes(self, name: str, encode: Encode) -> Quality:
        """What an encoder's codes reach by Hamming distance."""
        codes = np.concatenate([pack(encode(block)) for block in blocks(self._data.base)])
        logits = np.concatenate([encode(block) for block in blocks(self._data.queries)])
        bits, columns, wanted = logits.shape[1], words(codes).T.copy(), words(pack(logits))
        labelled, recalled, reranked = [], [], []
        for number, true in enumerate(self._near[:, :NEIGHBOURS]):
            far = distances(wanted[number], columns)
            sizes = np.bincount(far, minlength=bits + 1)
            recalled.append(TieGroups(sizes, np.bincount(far[true], minlength=bits + 1)))
            if (members := self._same_label(number)) is not None:
                labelled.append(TieGroups(sizes, np.bincount(far[members], minlength=bits + 1)))
            candidates = self._nearest_codes(far, sizes)
            finer = asymmetric(logits[number : number + 1], codes[candidates])[0]
            best = candidates[np.argsort(finer, kind="stable")[:NEIGHBOURS]]
            reranked.append(len(np.intersect1d(best, true)) / len(true))
        recall = [_mean(metrics.recall_at(groups, k) for groups in recalled) for k in (NEIGHBOURS, 100, DEPTH)]
        health = (metrics.bit_entropy(codes), metrics.distinct_share(codes))
        return Quality(name, *_by_label(labelled), recall[0], recall[1], _mean(reranked), recall[2], *health)

    def _same_label(self, query: int) -> NDArray[np.intp] | None:
        if self._data.query_labels is None or not self._members:
            return None
        return self._members.get(str(self._data.query_labels[query]), np.empty(0, np.intp))

    def _nearest_codes(self, distances: NDArray[np.uint16], sizes: NDArray[np.intp]) -> NDArray[np.intp]:
        """The 100 nearest; which of those tied at the end, is decided by one random order of the base."""
        last = int(np.searchsorted(np.cumsum(sizes), min(RERANKED, len(distances))))
        within = np.flatnonzero(distances <= last)
        return within[np.lexsort((self._order[within], distances[within]))[:RERANKED]]


def evaluate(evaluation: Evaluation, encoders: dict[str, Encode]) -> list[Quality]:
    """The quality table: each encoder, and the float features last."""
    return [*(evaluation.codes(name, encode) for name, encode in encoders.items()), evaluation.floats()]


def words(codes: Codes) -> NDArray[np.uint64]:
    """Codes (n, bits / 8) as (n, w) words of 64 bits, zeros added to the last: eight times fewer to compare."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded.view(np.uint64)


def distances(query: NDArray[np.uint64], columns: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Hamming distances (n,) of one query (w,) to columns (w, n)."""
    far = np.zeros(columns.shape[1], np.uint16)
    for word, column in zip(query, columns, strict=True):
        far += np.bitwise_count(column ^ word)
    return far


def _by_label(labelled: list[TieGroups]) -> tuple[float | None, float | None, float | None]:
    if not labelled:
        return None, None, None
    return (
        _mean(metrics.precision_at(groups, 10) for groups in labelled),
        _mean(metrics.precision_at(groups, 100) for groups in labelled),
        _mean(metrics.average_precision(groups, DEPTH) for groups in labelled),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

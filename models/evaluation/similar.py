"""Similar: how well codes find similar items among those held out, without labels.

Recall 10@10 and 10@100 of the nearest items by features, and precision@10 and @100 by cluster, where the clusters of
several clusterings of the features stand in for labels. How far that agrees with labels is told in
docs/decisions/0030.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import pack
from models.evaluation.baselines import Encode
from models.evaluation.quality import distances, words
from models.neighbours import nearest
from models.rows import blocks

LOSS = 2.0
"""How often a loss against the reference counts."""
NEIGHBOURS = 10
DEPTHS = (10, 100)
COLUMNS = ("R 10@10", "R 10@100", "clusters@10", "clusters@100")


@dataclass(frozen=True)
class Clustering:
    """The clusters of base items (n,) and of held-out items (m,)."""

    base: NDArray[np.int32]
    held_out: NDArray[np.int32]


class SimilarTrial:
    """Held-out items (m, d), the base (n, d) that they search among, and clusterings of both."""

    criterion = (
        "the highest score: recall 10@10, recall 10@100, precision@10 and @100 by cluster on held-out items, each less "
        f"the reference's, a loss counted {LOSS:g} times, and the mean of the four"
    )

    def __init__(
        self, held_out: NDArray[np.float32], base: NDArray[np.float32], clusterings: Sequence[Clustering]
    ) -> None:
        self._held_out, self._base, self._clusterings = held_out, base, clusterings
        self._near = nearest(held_out, base, NEIGHBOURS)[0]

    def __len__(self) -> int:
        return len(self._held_out)

    def columns(self, encode: Encode) -> dict[str, float]:
        """Recall 10@10 and 10@100, precision@10 and @100 by cluster; expected values where distances tie."""
        columns = words(np.concatenate([pack(encode(block)) for block in blocks(self._base)])).T.copy()
        wanted = words(np.concatenate([pack(encode(block)) for block in blocks(self._held_out)]))
        found = np.zeros((len(wanted), 2 * len(DEPTHS)))
        for query, code in enumerate(wanted):
            far = distances(code, columns)
            up_to = np.cumsum(np.bincount(far))
            for place, depth in enumerate(DEPTHS):
                depth = min(depth, len(far))
                last = int(np.searchsorted(up_to, depth))
                before = int(up_to[last - 1]) if last else 0
                # Of the items that tie at the end, each is within the depth with this probability.
                tied = (depth - before) / (up_to[last] - before)
                true = far[self._near[query]]
                found[query, place] = ((true < last) + tied * (true == last)).mean()
                within = np.flatnonzero(far <= last)
                share = np.where(far[within] < last, 1.0, tied) / depth
                found[query, len(DEPTHS) + place] = np.mean(
                    [share @ (each.base[within] == each.held_out[query]) for each in self._clusterings]
                )
        return dict(zip(COLUMNS, found.mean(axis=0).tolist(), strict=True))

    def score(self, own: Mapping[str, float], reference: Mapping[str, float]) -> float:
        """The mean difference from the figures of the reference; 0 for the reference itself."""
        differences = [own[column] - reference[column] for column in COLUMNS]
        return sum(gain if gain >= 0 else LOSS * gain for gain in differences) / len(differences)

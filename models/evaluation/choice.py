"""Choice: which of several encoders is kept, by how they rank items that none of them was fitted to, without labels.

Four columns are compared with PCA-ITQ's: recall 10@10 and 10@100 of the nearest items by features, and precision@10 and
@100 by cluster, where the clusters of several clusterings of the features stand in for labels. The score of an encoder
is the mean of its four differences, in which a loss counts `LOSS` times. How far it agrees with labels is told in
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

REFERENCE = "PCA-ITQ"
LOSS = 2.0
NEIGHBOURS = 10
DEPTHS = (10, 100)
CRITERION = (
    "the highest score: recall 10@10, recall 10@100, precision@10 and @100 by cluster on held-out items, each less "
    f"{REFERENCE}'s, a loss counted {LOSS:g} times, and the mean of the four"
)


@dataclass(frozen=True)
class Score:
    """What one candidate reaches on held-out items; `clusters_at_10` and `_100` are precision by cluster."""

    name: str
    score: float
    recall_10_at_10: float
    recall_10_at_100: float
    clusters_at_10: float
    clusters_at_100: float


@dataclass(frozen=True)
class Choice:
    """The name of what is kept, why, the scores of all candidates, best first, and how many items were held out."""

    kept: str
    why: str
    scores: list[Score]
    held_out: int


@dataclass(frozen=True)
class Clustering:
    """The clusters of base items (n,) and of held-out items (m,)."""

    base: NDArray[np.int32]
    held_out: NDArray[np.int32]


class Trial:
    """Held-out items (m, d), the base (n, d) that they search among, and clusterings of both."""

    def __init__(
        self, held_out: NDArray[np.float32], base: NDArray[np.float32], clusterings: Sequence[Clustering]
    ) -> None:
        self._held_out, self._base, self._clusterings = held_out, base, clusterings
        self._near = nearest(held_out, base, NEIGHBOURS)[0]

    def __len__(self) -> int:
        return len(self._held_out)

    def columns(self, encode: Encode) -> tuple[float, float, float, float]:
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
        first, second, third, fourth = found.mean(axis=0).tolist()
        return first, second, third, fourth


def choose(trial: Trial, candidates: Mapping[str, Encode]) -> Choice:
    """Score the candidates, among them PCA-ITQ, and keep the best."""
    found = {name: trial.columns(encode) for name, encode in candidates.items()}
    reference = found[REFERENCE]
    scores = sorted(
        (Score(name, score_of(figures, reference), *figures) for name, figures in found.items()),
        key=lambda one: -one.score,
    )
    kept, second = scores[0], scores[1]
    why = (
        f"score {kept.score:+.4f} against {REFERENCE} on {len(trial)} held-out items; "
        f"next {second.name} {second.score:+.4f}"
    )
    return Choice(kept.name, why, scores, len(trial))


def score_of(figures: tuple[float, ...], reference: tuple[float, ...]) -> float:
    """The mean difference of figures (4,) from those of the reference; 0 for the reference itself."""
    differences = [own - other for own, other in zip(figures, reference, strict=True)]
    return sum(gain if gain >= 0 else LOSS * gain for gain in differences) / len(differences)

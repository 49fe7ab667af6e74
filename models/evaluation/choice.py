"""Choice: which of several encoders is kept, by what they are worth on items that none of them was fitted to.

What they are to be worth is a trial's to say: `models.evaluation.similar` and `models.evaluation.copies`. No labels are
needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from models.evaluation.baselines import Encode

REFERENCE = "PCA-ITQ"
"""The candidate that the others are told against."""


class Trial(Protocol):
    """What candidates are tried on; its length is the number of held-out items."""

    criterion: str
    """In words, which candidate is kept."""

    def __len__(self) -> int: ...

    def columns(self, encode: Encode) -> dict[str, float]:
        """The figures of an encoder."""

    def score(self, own: Mapping[str, float], reference: Mapping[str, float]) -> float:
        """What figures are worth beside those of the reference; 0 for the reference itself."""


@dataclass(frozen=True)
class Score:
    """What one candidate reaches on held-out items."""

    name: str
    score: float
    columns: dict[str, float]


@dataclass(frozen=True)
class Choice:
    """The name of what is kept, by which criterion, why; the scores of all candidates, best first; items held out."""

    kept: str
    criterion: str
    why: str
    scores: list[Score]
    held_out: int


def choose(trial: Trial, found: Mapping[str, Mapping[str, float]]) -> Choice:
    """Keep the candidate with the best score, of the figures of all by name, among them the reference's."""
    scores = sorted(
        (Score(name, trial.score(figures, found[REFERENCE]), dict(figures)) for name, figures in found.items()),
        key=lambda one: -one.score,
    )
    kept, second = scores[0], scores[1]
    why = (
        f"score {kept.score:+.4f} against {REFERENCE} on {len(trial)} held-out items; "
        f"next {second.name} {second.score:+.4f}"
    )
    return Choice(kept.name, trial.criterion, why, scores, len(trial))

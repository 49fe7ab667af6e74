"""The hashers of the benchmark, trained as `scripts.train` trains them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from models.evaluation.baselines import Encode
from models.features import Document, Features
from models.features.ngrams import NgramFeatures
from models.rows import Rows
from models.training.candidates import Training, train
from models.training.config import Config
from models.training.views import views_of
from scripts.training import export, progress_of

LEARNED = "trained"
SIMILAR, DUPLICATES = "similar", "duplicates"


@dataclass(frozen=True)
class Learned:
    """A trained hasher's encoder, what training kept, and how long it took."""

    encode: Encode
    kept: str
    seconds: float


class Learner:
    """Trains hashers of several lengths on the same rows (n, d); for duplicates, with views of their documents (n,)."""

    def __init__(
        self,
        features: Features,
        rows: Rows,
        seed: int,
        purpose: str = SIMILAR,
        documents: Sequence[Document] | None = None,
    ) -> None:
        self._features, self._seed, self._rows = features, seed, rows
        self._objective = "hashing"
        self._views = None
        if purpose == DUPLICATES:
            if documents is None:
                raise ValueError("expected documents to make views of, got none")
            self._objective, self._views = "duplicates", views_of(features, documents, seed)

    def learn(self, bits: int) -> Learned:
        """A hasher of so many bits."""
        started = time.monotonic()
        config = Config(bits=bits, objective=self._objective, seed=self._seed)
        training = Training(bar=progress_of(bits), views=self._views)
        kept = train(self._rows, config, training)
        hasher = export("benchmark@1", self._features, kept).hasher
        return Learned(hasher.logits, kept.name, time.monotonic() - started)


def near_copy_features() -> Features:
    """The features of texts that `scripts.train --for duplicates` takes."""
    return NgramFeatures()

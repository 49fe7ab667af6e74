"""The hashers of the benchmark, trained as `scripts.train` trains them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.evaluation.baselines import Encode
from models.features import Document, Features
from models.features.normalisation import Normalisation
from models.features.static import StaticFeatures
from models.rows import Rows
from models.training.candidates import Training, train
from models.training.config import Config
from scripts.console import track
from scripts.training import export, progress_of

LEARNED = "trained"
BATCH = 256
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
        self._features, self._seed, self._purpose = features, seed, purpose
        self._rows = rows

    def learn(self, bits: int) -> Learned:
        """A hasher of so many bits."""
        started = time.monotonic()
        weights = {"smoothed_similarity": 0.0} if self._purpose == DUPLICATES else {}
        config = Config(bits=bits, seed=self._seed, weights=weights)
        kept = train(self._rows, config, Training(bar=progress_of(bits)))
        hasher = export("benchmark@1", self._features, kept, config).hasher
        return Learned(hasher.logits, kept.name, time.monotonic() - started)


def near_copy_features() -> Features:
    """The features of texts that `scripts.train --for duplicates` takes."""
    return StaticFeatures.pretrained(Normalisation())


def extract(features: Features, documents: Sequence[Document]) -> NDArray[np.float32]:
    """Features (n, d) of documents, of which none may be bad."""
    found = []
    for start in track(range(0, len(documents), BATCH), "features"):
        rows, faults = features.rows(documents[start : start + BATCH])
        for place, fault in faults.items():
            raise InvalidInputError(f"document {start + place}: {fault}")
        found.append(rows)
    return np.concatenate(found)

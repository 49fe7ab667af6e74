"""What a collection's codes say as a whole: how good they are to search by, and whether what comes in drifts."""

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from models.evaluation.drift import Drift, drift
from models.evaluation.fingerprint import Fingerprint, reconstruction_errors
from models.hasher import Hasher
from service.coding import kept_features
from service.coding.hashers import Hashers
from service.collections.backend import Backend, Moments
from service.collections.steadily import steadily
from service.errors import MissingHasherError, UnknownHasherError
from service.index.flat import latest
from service.index.health import Health, health
from service.index.snapshot import Snapshot
from service.store.errors import unknown_collection
from service.store.schema import CollectionRow

READ_AT_ONCE = 1000


class Analyses:
    """Each takes up to a second or two."""

    def __init__(self, backend: Backend, moments: Moments, hashers: Hashers) -> None:
        self._backend = backend
        self._moments = moments
        self._hashers = hashers

    def health(self, name: str) -> Health | None:
        """How good a collection's codes are to search by, None of an empty one; raises UnknownCollectionError."""
        return health(self._look(name)[1])

    def drift(self, name: str, items: int) -> tuple[str | None, int, Drift]:
        """The hasher, how many of the latest items were looked at, and whether they differ from training.

        Raises UnknownCollectionError, or MissingHasherError.
        """
        return steadily(self._backend.collection, name, lambda _: self._drift(name, items))

    def _drift(self, name: str, items: int) -> tuple[str | None, int, Drift]:
        row, now = self._look(name)
        reference = row.settings.hasher
        sequences, codes = latest(now, items)
        if reference is None:
            verdict = "cannot tell: the items bring their own codes, there was no training to compare them with"
            return None, len(codes), Drift(verdict, None)
        try:
            hasher = self._hashers.get(reference)
        except UnknownHasherError as error:
            raise MissingHasherError(f"collection {name!r} needs hasher {reference}: {error}") from None
        fingerprint = Fingerprint.of_card(hasher.card)
        if fingerprint is None:
            verdict = (
                "cannot tell: the hasher has no fingerprint of its training, it was trained before those were kept"
            )
            return reference, len(codes), Drift(verdict, None)
        errors = self._errors(hasher, row, sequences, codes)
        return reference, len(codes), drift(fingerprint, codes, errors)

    def _look(self, name: str) -> tuple[CollectionRow, Snapshot]:
        looked = self._moments.snapshot(name)
        if looked is None:
            raise unknown_collection(name)
        return looked

    def _errors(
        self, hasher: Hasher, row: CollectionRow, sequences: NDArray[np.int64], codes: Codes
    ) -> NDArray[np.float64] | None:
        """Reconstruction errors of those items that are still there, None where no features are kept."""
        keep = row.settings.keep_features
        if keep == "none":
            return None
        errors = [np.empty(0)]
        for start in range(0, len(sequences), READ_AT_ONCE):
            some = sequences[start : start + READ_AT_ONCE].tolist()
            kept = self._moments.features(row, some)
            rows = [kept_features.unpack(kept[sequence], keep) for sequence in some if sequence in kept]
            there = np.array([sequence in kept for sequence in some])
            if rows:
                errors.append(reconstruction_errors(hasher, codes[start : start + READ_AT_ONCE][there], np.stack(rows)))
        return np.concatenate(errors)

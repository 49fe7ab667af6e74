"""From what callers hand in to codes: one pass over the documents, every fault noted at its place."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.codes import from_hex, pack
from models.errors import InvalidInputError
from models.features import Document
from models.hasher import Hasher
from service.errors import Fault, FaultsError
from service.items import Kind

Given = tuple[Kind, Document]
NO_REASONS: Mapping[int, str] = MappingProxyType({})


class Coded(NamedTuple):
    """A packed code, and what it was made from: features (d,) and logits (bits,) float32, None of a code as given."""

    code: bytes
    features: NDArray[np.float32] | None = None
    logits: NDArray[np.float32] | None = None


def encode(
    documents: Sequence[Given],
    bits: int,
    hasher: Callable[[], Hasher] | None,
    where: str,
    refused: Mapping[int, str] = NO_REASONS,
) -> tuple[list[Coded | None], dict[int, Fault]]:
    """Codes of documents, None at the places of bad ones, and what is wrong with those, by place.

    `hasher` is asked for only where something is not a code already; None where a collection has no hasher.
    `where` names the list in the faults: `items` gives `items/3/vector`. `refused` says of codes, by place, why none is
    taken as it is.
    """
    coded: list[Coded | None] = [None] * len(documents)
    faults: dict[int, Fault] = {}
    rows, places = [], []
    for place, (kind, document) in enumerate(documents):
        try:
            if kind == "code" and place in refused:
                raise InvalidInputError(f"expected a document, as {refused[place]}, got code")
            if kind == "code":
                coded[place] = Coded(from_hex(str(document), bits))
            elif hasher is None:
                raise InvalidInputError(f"expected a code, as the collection has no hasher, got {kind}")
            else:
                rows.append(row_of(hasher(), kind, document))
                places.append(place)
        except InvalidInputError as error:
            faults[place] = _fault(where, place, kind, error)
    if hasher is not None and rows:
        features = np.stack(rows)
        logits = hasher().logits(features)
        for place, *each in zip(places, pack(logits), features, logits, strict=True):
            coded[place] = Coded(each[0].tobytes(), each[1], each[2])
    return coded, faults


def logits(hasher: Hasher, documents: Sequence[Given], where: str) -> NDArray[np.float32]:
    """Logits (n, bits) float32 of documents; raises FaultsError that names the bad ones."""
    rows = np.empty((len(documents), hasher.features.dimension), np.float32)
    faults = []
    for place, (kind, document) in enumerate(documents):
        try:
            rows[place] = row_of(hasher, kind, document)
        except InvalidInputError as error:
            faults.append(_fault(where, place, kind, error))
    if faults:
        raise FaultsError("nothing was encoded", faults)
    return hasher.logits(rows)


def row_of(hasher: Hasher, kind: Kind, document: Document) -> NDArray[np.float32]:
    """Features (d,) float32 of a document; raises InvalidInputError where the hasher cannot take it."""
    if kind != hasher.features.modality:
        raise InvalidInputError(f"expected {hasher.features.modality}, as {hasher.reference} takes, got {kind}")
    return hasher.features.row(document)


def _fault(where: str, place: int, kind: Kind, error: InvalidInputError) -> Fault:
    return Fault(f"{where}/{place}/{kind}", error.status, error.title, str(error))

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
    query: bool = False,
) -> tuple[list[Coded | None], dict[int, Fault]]:
    """Codes of documents, None at the places of bad ones, and what is wrong with those, by place.

    `hasher` is asked for only where something is not a code already; None where a collection has no hasher.
    `where` names the list in the faults: `items` gives `items/3/vector`. `refused` says of codes, by place, why none is
    taken as it is. `query`: the documents are searched for, which some text encoders code by another prefix.
    """
    coded: list[Coded | None] = [None] * len(documents)
    faults: dict[int, Fault] = {}
    chosen: dict[int, Document] = {}
    for place, (kind, document) in enumerate(documents):
        try:
            if kind == "code" and place in refused:
                raise InvalidInputError(f"expected a document, as {refused[place]}, got code")
            if kind == "code":
                coded[place] = Coded(from_hex(str(document), bits))
            elif hasher is None:
                raise InvalidInputError(f"expected a code, as the collection has no hasher, got {kind}")
            else:
                _require_kind(hasher(), kind)
                chosen[place] = document
        except InvalidInputError as error:
            faults[place] = _fault(where, place, kind, error)
    if hasher is not None and chosen:
        rows, bad = hasher().features.rows(list(chosen.values()), query)
        places = list(chosen)
        for number, reason in bad.items():
            place = places[number]
            faults[place] = _fault(where, place, documents[place][0], reason)
        made = hasher().logits(rows)
        for number, (place, code) in enumerate(zip(places, pack(made), strict=True)):
            if number not in bad:
                coded[place] = Coded(code.tobytes(), rows[number], made[number])
    return coded, dict(sorted(faults.items()))


def logits(hasher: Hasher, documents: Sequence[Given], where: str, query: bool = False) -> NDArray[np.float32]:
    """Logits (n, bits) float32 of documents; raises FaultsError that names the bad ones. `query` as in `encode`."""
    coded, faults = encode(documents, hasher.bits, lambda: hasher, where, query=query)
    if faults:
        raise FaultsError("nothing was encoded", list(faults.values()))
    made = [each.logits for each in coded if each is not None and each.logits is not None]
    return np.stack(made) if made else np.empty((0, hasher.bits), np.float32)


def require_usable(hasher: Hasher, kind: Kind, document: Document) -> None:
    """Raise InvalidInputError where the hasher cannot take a document; makes no code."""
    _require_kind(hasher, kind)
    hasher.features.check(document)


def _require_kind(hasher: Hasher, kind: Kind) -> None:
    if kind != hasher.features.modality:
        raise InvalidInputError(f"expected {hasher.features.modality}, as {hasher.reference} takes, got {kind}")


def _fault(where: str, place: int, kind: Kind, error: InvalidInputError) -> Fault:
    return Fault(f"{where}/{place}/{kind}", error.status, error.title, str(error))

"""From what callers hand in to codes: one pass over the documents, every fault noted at its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from service.untold import untold

Given = tuple[Kind, Document]
# Raises where the result is not waited for any more.
Going = Callable[[], None]
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
    going: Going = untold,
) -> tuple[list[Coded | None], dict[int, Fault]]:
    """Codes of documents, None at the places of bad ones, and what is wrong with those, by place.

    `hasher` is asked for only where something is not a code already; None where a collection has no hasher.
    `where` names the list in the faults: `items` gives `items/3/vector`. `refused` says of codes, by place, why none is
    taken as it is. `query`: the documents are searched for, which some text encoders code by another prefix. `going` is
    called before each document, or each run of several; what it raises ends the work.
    """
    coded: list[Coded | None] = [None] * len(documents)
    faults: dict[int, Fault] = {}
    chosen: list[int] = []
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
                chosen.append(place)
        except InvalidInputError as error:
            faults[place] = _fault(where, place, kind, error)
    if hasher is not None and chosen:
        for place, made in _encoded(hasher(), [(place, documents[place][1]) for place in chosen], query, going):
            if isinstance(made, InvalidInputError):
                faults[place] = _fault(where, place, documents[place][0], made)
            else:
                coded[place] = made
    return coded, dict(sorted(faults.items()))


def logits(
    hasher: Hasher, documents: Sequence[Given], where: str, query: bool = False, going: Going = untold
) -> NDArray[np.float32]:
    """Logits (n, bits) float32 of documents; raises FaultsError that names the bad ones.

    `query` and `going` as in `encode`.
    """
    coded, faults = encode(documents, hasher.bits, lambda: hasher, where, query=query, going=going)
    if faults:
        raise FaultsError("nothing was encoded", list(faults.values()))
    made = [each.logits for each in coded if each is not None and each.logits is not None]
    return np.stack(made) if made else np.empty((0, hasher.bits), np.float32)


def require_usable(hasher: Hasher, kind: Kind, document: Document) -> None:
    """Raise InvalidInputError where the hasher cannot take a document; makes no code."""
    _require_kind(hasher, kind)
    hasher.features.check(document)


def _encoded(
    hasher: Hasher, documents: Sequence[tuple[int, Document]], query: bool, going: Going
) -> Iterator[tuple[int, Coded | InvalidInputError]]:
    """What becomes of each document, by its place: in the steps of the features, and the runs of the encoder."""
    rows: list[tuple[int, NDArray[np.float32]]] = []
    step = hasher.features.step
    for start in range(0, len(documents), step):
        some = documents[start : start + step]
        made, faults = hasher.features.rows([document for _, document in some], query, going)
        for number, (place, _) in enumerate(some):
            if number in faults:
                yield place, faults[number]
            else:
                rows.append((place, made[number]))
        if len(rows) >= hasher.rows_a_run:
            yield from _run(hasher, rows, going)
            rows = []
    if rows:
        yield from _run(hasher, rows, going)


def _run(
    hasher: Hasher, rows: Sequence[tuple[int, NDArray[np.float32]]], going: Going
) -> Iterator[tuple[int, Coded | InvalidInputError]]:
    try:
        logits = hasher.logits(np.stack([row for _, row in rows]))
    except InvalidInputError as error:
        if len(rows) == 1:
            yield rows[0][0], error
            return
        # One of them is bad, which is not the others' fault: each by itself.
        for each in rows:
            going()
            yield from _run(hasher, [each], going)
        return
    for (place, row), code, made in zip(rows, pack(logits), logits, strict=True):
        yield place, Coded(code.tobytes(), row, made)


def _require_kind(hasher: Hasher, kind: Kind) -> None:
    if kind != hasher.features.modality:
        raise InvalidInputError(f"expected {hasher.features.modality}, as {hasher.reference} takes, got {kind}")


def _fault(where: str, place: int, kind: Kind, error: InvalidInputError) -> Fault:
    return Fault(f"{where}/{place}/{kind}", error.status, error.title, str(error))

"""What callers hand to a collection, whatever the protocol it came by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features import Document
from service.filters import Condition

Kind = Literal["text", "image", "vector", "code"]
Rank = Literal["hamming", "asymmetric", "rescored"]
# In UTF-8; stores may have to be told.
LONGEST_ID_BYTES = 512
Part = Literal["payload", "code", "features", "document"]
PAYLOAD: frozenset[Part] = frozenset({"payload"})


class Kept(NamedTuple):
    """What comes beside a code, as another collection kept it: features (numbers), and the document with its kind."""

    features: Sequence[float] | NDArray[np.float64] | None = None
    document: tuple[Kind, Document] | None = None


NOTHING_KEPT = Kept()


class Item(NamedTuple):
    """An item to index: `document` is a text, an encoded image, a vector, or a code in hex; `payload` is JSON.

    `kept` only with a code.
    """

    id: str
    kind: Kind
    document: Document
    payload: bytes | None = None
    kept: Kept = NOTHING_KEPT


@dataclass(frozen=True)
class Query:
    """What to look for: a document of a kind, or an item's id."""

    kind: Kind | Literal["id"]
    document: Document
    # What was made of it already, and by which collection's hasher: of another one it is made again.
    made: "Made | None" = field(default=None, compare=False, repr=False)


class Made(NamedTuple):
    """A query's packed code, features (d,) and logits (bits,) float32, by the hasher of the collection of a number."""

    collection: int
    code: bytes
    features: NDArray[np.float32] | None
    logits: NDArray[np.float32] | None


@dataclass(frozen=True)
class Wanted:
    """What of the nearest is asked for: at most `limit`, within `max_distance` (inclusive), let through by `filter`.

    `rank` other than `hamming` orders the `candidates` nearest anew; `exact` passes by an IVF index.
    `carried` is what each match brings along. `hurried` raises TakesLongError where many items would have to be read.
    """

    limit: int
    max_distance: int | None = None
    filter: "Condition | None" = None
    rank: Rank = "hamming"
    candidates: int | None = None
    exact: bool = False
    carried: frozenset[Part] = PAYLOAD
    hurried: bool = False


class Match(NamedTuple):
    """An item that was found; `distance` is Hamming's; `score` is what it was ranked by, if by anything else.

    `code`, `features` (d,) float32 and `document` only where they were asked for.
    """

    id: str
    distance: int
    payload: bytes | None
    score: float | None = None
    code: bytes | None = None
    features: NDArray[np.float32] | None = None
    document: "tuple[Kind, Document] | None" = None


class Shown(NamedTuple):
    """An item as it is kept, by itself; `features` (d,) float32 and `document` only where asked for."""

    id: str
    code: bytes
    payload: bytes | None
    features: NDArray[np.float32] | None = None
    document: "tuple[Kind, Document] | None" = None

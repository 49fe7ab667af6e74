"""What callers hand to a collection, whatever the protocol it came by."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.features import Document
from service.filters import Condition

Kind = Literal["text", "image", "vector", "code"]
Rank = Literal["hamming", "asymmetric", "rescored"]


@dataclass(frozen=True)
class Item:
    """An item to index: `document` is a text, an encoded image, a vector, or a code in hex; `payload` is JSON."""

    id: str
    kind: Kind
    document: Document
    payload: bytes | None = None


@dataclass(frozen=True)
class Query:
    """What to look for: a document of a kind, or an item's id."""

    kind: Kind | Literal["id"]
    document: Document


@dataclass(frozen=True)
class Wanted:
    """What of the nearest is asked for: at most `limit`, within `max_distance` (inclusive), let through by `filter`.

    `rank` other than `hamming` orders the `candidates` nearest anew; `exact` passes by an IVF index.
    """

    limit: int
    max_distance: int | None = None
    filter: "Condition | None" = None
    rank: Rank = "hamming"
    candidates: int | None = None
    exact: bool = False


class Match(NamedTuple):
    """An item that was found; `distance` is Hamming's; `score` is what it was ranked by, if by anything else."""

    id: str
    distance: int
    payload: bytes | None
    score: float | None = None

"""What callers hand to a collection, whatever the protocol it came by."""

from dataclasses import dataclass
from typing import Literal

from models.features import Document

Kind = Literal["text", "image", "vector", "code"]


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
class Match:
    """An item that was found; `distance` is Hamming's; `payload` is JSON or None."""

    id: str
    distance: int
    payload: bytes | None

"""What every dataset is: a modality, a number of items, and a way to walk them from the start."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from models.features import Document


@dataclass(frozen=True)
class Item:
    """One item: its id, its document (text, encoded image or pixels, vector), its label if any, its payload."""

    id: str
    document: Document
    label: str | None = None
    payload: dict[str, Any] | None = None


@dataclass(frozen=True)
class Dataset:
    """Items in a fixed order. `walk` starts afresh each time and holds few items in memory where it can."""

    name: str
    modality: str
    size: int
    walk: Callable[[], Iterator[Item]]

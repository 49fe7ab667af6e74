"""What every dataset is: a modality, a number of items, and a way to walk them from the start."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.features import Document


@dataclass(frozen=True)
class Item:
    """One item: its id, its document (text, encoded image or pixels, vector), its label if any, its payload."""

    id: str
    document: Document
    label: str | None = None
    payload: dict[str, Any] | None = None


@dataclass(frozen=True)
class Checksum:
    """CRC-32 of an array as its file gives it: `before`, of the bytes that precede the rows, and `whole`, with them."""

    before: int
    whole: int


@dataclass(frozen=True)
class Dataset:
    """Items in a fixed order. `walk` starts afresh each time and holds few items in memory where it can.

    The last `test` items are the data set's own test part. Where the documents lie in one `array` (n, ...), mostly
    mapped from a file and read-only, item i is its row i, with the number i as its id; `labels` (n,) are those of
    its rows, None where there are none, and `checksum` is what its bytes have to give, where the file says.
    """

    name: str
    modality: str
    size: int
    walk: Callable[[], Iterator[Item]]
    test: int = 0
    array: NDArray[Any] | None = None
    labels: NDArray[np.str_] | None = None
    checksum: Checksum | None = None

    def require(self, modality: str) -> None:
        """Raise InvalidInputError where the items are of another modality."""
        if self.modality != modality:
            raise InvalidInputError(f"expected {modality} items, got {self.modality} items from {self.name}")

"""The hasher: features, encoder and decoder of one folder, run by ONNX Runtime wherever a document is coded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, pack, unpack
from models.errors import is_fault
from models.features import Document, Features, load_features
from models.folder import MOST_BYTES, DamagedHasherError, read_folder
from models.graph import Graph

ENCODER = "encoder.onnx"
DECODER = "decoder.onnx"


class Hasher:
    """One version of one hasher; safe to use from many threads."""

    def __init__(self, card: dict[str, Any], features: Features, encoder: bytes, decoder: bytes) -> None:
        self.card = card
        self.reference: str = f"{card['name']}@{card['version']}"
        self.bits: int = card["bits"]
        self.features = features
        self._encoder = Graph(encoder, features.dimension, self.bits)
        self._decoder = Graph(decoder, self.bits, features.dimension)

    @classmethod
    def load(cls, folder: Path, most_bytes: int = MOST_BYTES) -> "Hasher":
        """Read, verify and load a hasher folder; raises DamagedHasherError for anything not as it was written."""
        card, files = read_folder(folder, most_bytes)
        try:
            return cls(card, load_features(card["features"], files), files[ENCODER], files[DECODER])
        except BaseException as error:
            if not is_fault(error):
                raise
            # Its checksums fit, so it was written like that: whatever is wrong, it must not stop the other hashers.
            raise DamagedHasherError(f"{folder} is not a hasher: {type(error).__name__}: {error}") from None

    @property
    def rows_a_run(self) -> int:
        """How many documents are encoded in one run at most: those of one run fail together."""
        return self._encoder.rows_a_run

    def rows(self, documents: Sequence[Document], query: bool = False) -> NDArray[np.float32]:
        """Features (n, d) float32 of documents; raises InvalidInputError that names the place of the first bad one.

        `query`: the documents are searched for, which some text encoders code by another prefix.
        """
        rows, faults = self.features.rows(documents, query)
        if faults:
            place, error = min(faults.items())
            error.args = (f"document {place}: {error}",)
            raise error
        return rows

    def logits(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, bits) float32 of features (n, d) float32; raises GraphError where the encoder cannot take them."""
        return self._encoder.run(rows)

    def encode(self, documents: Sequence[Document], query: bool = False) -> Codes:
        """Codes (n, bits / 8) uint8 of documents; `query` as in `rows`."""
        return pack(self.logits(self.rows(documents, query)))

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """What the decoder remembers of codes (n, bits / 8): features (n, d) float32; raises GraphError."""
        return self._decoder.run(unpack(codes).astype(np.float32) * 2 - 1)

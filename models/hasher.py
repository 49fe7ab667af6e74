"""The hasher: features, encoder and decoder of one folder, run by ONNX Runtime wherever a document is coded."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Read when ONNX Runtime is first imported, which only this module does: it would note every session in the home
# directory, to be sent to its makers.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from models.codes import Codes, pack, unpack
from models.errors import InvalidInputError
from models.features import Document, Features, load_features
from models.folder import DamagedHasherError, read_folder

ENCODER = "encoder.onnx"
DECODER = "decoder.onnx"


class Hasher:
    """One version of one hasher; safe to use from many threads."""

    def __init__(self, card: dict[str, Any], features: Features, encoder: bytes, decoder: bytes) -> None:
        self.card = card
        self.reference: str = f"{card['name']}@{card['version']}"
        self.bits: int = card["bits"]
        self.features = features
        self._encoder = _session(encoder, features.dimension, self.bits)
        self._decoder = _session(decoder, self.bits, features.dimension)

    @classmethod
    def load(cls, folder: Path) -> "Hasher":
        """Read, verify and load a hasher folder; raises DamagedHasherError for anything not as it was written."""
        card, files = read_folder(folder)
        try:
            return cls(card, load_features(card["features"], files), files[ENCODER], files[DECODER])
        except Exception as error:
            # Its checksums fit, so it was written like that: whatever is wrong, it must not stop the other hashers.
            raise DamagedHasherError(f"{folder} is not a hasher: {type(error).__name__}: {error}") from None

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
        """Logits (n, bits) float32 of features (n, d) float32."""
        return _run(self._encoder, rows, self.bits)

    def encode(self, documents: Sequence[Document], query: bool = False) -> Codes:
        """Codes (n, bits / 8) uint8 of documents; `query` as in `rows`."""
        return pack(self.logits(self.rows(documents, query)))

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """What the decoder remembers of codes (n, bits / 8): features (n, d) float32."""
        return _run(self._decoder, unpack(codes).astype(np.float32) * 2 - 1, self.features.dimension)


def _session(graph: bytes, inputs: int, outputs: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread a call: the callers are the threads, and more of them than cores is slower, not faster.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    widths = session.get_inputs()[0].shape[1], session.get_outputs()[0].shape[1]
    if widths != (inputs, outputs):
        raise InvalidInputError(f"expected a graph from {inputs} to {outputs} numbers, got {widths[0]} to {widths[1]}")
    return session


def _run(session: onnxruntime.InferenceSession, rows: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    if len(rows) == 0:
        return np.empty((0, width), np.float32)
    result: NDArray[np.float32] = session.run(None, {"input": rows})[0]
    return result

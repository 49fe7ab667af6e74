"""Features of text: the mean of pretrained static token embeddings, scaled to unit length.

The embedding is the one that ships inside the package `wordllama` (MIT): 32,000 tokens, 256 dimensions. Only its
two data files are read. They are copied into every hasher folder, so that an upgrade of the package cannot
change the codes of a hasher, and serving needs neither the package nor a download.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from safetensors.numpy import load as load_safetensors
from tokenizers import Tokenizer

from models.errors import InvalidInputError
from models.features.base import MAX_CHARACTERS, CardSettings, Files, parse_settings
from models.features.normalisation import Normalisation
from models.features.text import TextFeatures

EMBEDDING = "embedding.safetensors"
TOKENIZER = "tokenizer.json"


class StaticSettings(CardSettings):
    """`extractor` and `normalisation` are missing on cards of the first release."""

    extractor: Literal["static"] = "static"
    modality: Literal["text"]
    dimension: PositiveInt
    normalisation: Normalisation | None = None


class StaticFeatures(TextFeatures):
    """Mean of token embeddings; the order of the words does not count, which ones they are does."""

    name = "static"

    def __init__(
        self,
        embedding: bytes,
        tokenizer: bytes,
        normalisation: Normalisation | None = None,
        max_characters: int = MAX_CHARACTERS,
    ) -> None:
        """`embedding` is a safetensors file with one matrix (tokens, dimension), `tokenizer` a tokenizers JSON."""
        super().__init__(normalisation, max_characters)
        self._files = {EMBEDDING: embedding, TOKENIZER: tokenizer}
        (matrix,) = load_safetensors(embedding).values()
        self._matrix = matrix.astype(np.float32)
        self._tokenizer = Tokenizer.from_str(tokenizer.decode())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.dimension: int = self._matrix.shape[1]

    @classmethod
    def pretrained(cls, normalisation: Normalisation | None = None) -> "StaticFeatures":
        """The embedding from the installed package `wordllama`."""
        found = importlib.util.find_spec("wordllama")
        if found is None or found.origin is None:
            raise InvalidInputError("text features need the package wordllama: pip install '.[train]'")
        package = Path(found.origin).parent
        return cls(
            (package / "weights" / "l2_supercat_256.safetensors").read_bytes(),
            (package / "tokenizers" / "l2_supercat_tokenizer_config.json").read_bytes(),
            normalisation,
        )

    @classmethod
    def load(cls, settings: Mapping[str, Any], files: Files) -> "StaticFeatures":
        """Restore from a card's settings and the files of its folder."""
        read = parse_settings(StaticSettings, settings)
        restored = cls(files[EMBEDDING], files[TOKENIZER], read.normalisation)
        if restored.dimension != read.dimension:
            raise InvalidInputError(
                f"features/dimension: expected {restored.dimension}, as {EMBEDDING} has, got {read.dimension}"
            )
        return restored

    def row(self, document: object, query: bool = False) -> NDArray[np.float32]:
        """Unit vector (dimension,) float32 of one text."""
        tokens = self._tokenizer.encode(self.text(document), add_special_tokens=False).ids
        # Summed in double precision: in single, the rounding would depend on the processor.
        total = self._matrix[tokens].sum(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(total))
        if length == 0.0:
            raise InvalidInputError("expected a text with at least one known word, got none")
        row: NDArray[np.float32] = (total / length).astype(np.float32)
        return row

    def settings(self) -> dict[str, Any]:
        """Extractor, modality, dimension and normalisation; the rest is in the files."""
        settings: dict[str, Any] = {"extractor": self.name, "modality": self.modality, "dimension": self.dimension}
        if self.normalisation is not None:
            settings["normalisation"] = self.normalisation.model_dump()
        return settings

    def files(self) -> dict[str, bytes]:
        """Embedding and tokenizer."""
        return self._files

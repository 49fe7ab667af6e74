"""Features of text: the mean of pretrained static token embeddings, scaled to unit length.

The embedding is the one that ships inside the package `wordllama` (MIT): 32,000 tokens, 256 dimensions. Only its
two data files are read. They are copied into every hasher folder, so that an upgrade of the package cannot
change the codes of a hasher, and serving needs neither the package nor a download.
"""

import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors

from models.errors import InvalidInputError, is_fault
from models.features.base import MAX_CHARACTERS, CardSettings, Dimension, Files, parse_settings
from models.features.normalisation import Normalisation
from models.features.text import TextFeatures
from models.features.tokenizing import TOKENIZER, load_tokenizer

EMBEDDING = "embedding.safetensors"
# A text of more characters is tokenized without holding up other threads; of less, that costs more than it gains.
SHORT_CHARACTERS = 1000
# A text may have 400,000 tokens, whose embeddings are 1 KB each.
TOKENS_A_SUM = 4096
HEADER_LENGTH_BYTES, MOST_HEADER_BYTES = 8, 2**16


class StaticSettings(CardSettings):
    """`extractor` and `normalisation` are missing on cards of the first release."""

    extractor: Literal["static"] = "static"
    modality: Literal["text"]
    dimension: Dimension
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
        self._matrix = _matrix(embedding)
        self._tokenizer, self.growth = load_tokenizer(tokenizer)
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
        if missing := [name for name in (EMBEDDING, TOKENIZER) if name not in files]:
            raise InvalidInputError(f"expected the file {missing[0]} beside the card, found none")
        restored = cls(files[EMBEDDING], files[TOKENIZER], read.normalisation)
        if restored.dimension != read.dimension:
            raise InvalidInputError(
                f"features/dimension: expected {restored.dimension}, as {EMBEDDING} has, got {read.dimension}"
            )
        return restored

    def row(self, document: object, query: bool = False) -> NDArray[np.float32]:
        """Unit vector (dimension,) float32 of one text."""
        text = self.text(document)
        try:
            total = self._sum(self._tokens(text))
            length = float(np.linalg.norm(total))
        except BaseException as error:
            if not is_fault(error):
                raise
            raise InvalidInputError(f"expected a text that can be tokenized: {type(error).__name__}") from None
        if not math.isfinite(length):
            raise InvalidInputError("expected a text of tokens with finite embeddings, got others")
        if length == 0.0:
            raise InvalidInputError("expected a text with at least one known word, got none")
        row: NDArray[np.float32] = (total / length).astype(np.float32)
        return row

    def _tokens(self, document: str) -> list[int]:
        if len(document) * self.growth <= SHORT_CHARACTERS:
            found: list[int] = self._tokenizer.encode(document, add_special_tokens=False).ids
            return found
        # The same, but that other threads go on meanwhile: `encode` holds the interpreter's lock.
        (encoded,) = self._tokenizer.encode_batch([document], add_special_tokens=False)
        return list(encoded.ids)

    def _sum(self, tokens: list[int]) -> NDArray[np.float64]:
        """The sum (dimension,) float64 of the tokens' embeddings, in their order; in bounded memory."""
        # In double precision: in single, the rounding would depend on the processor.
        total: NDArray[np.float64] = self._matrix[tokens[:TOKENS_A_SUM]].sum(axis=0, dtype=np.float64)
        for start in range(TOKENS_A_SUM, len(tokens), TOKENS_A_SUM):
            more = self._matrix[tokens[start : start + TOKENS_A_SUM]].astype(np.float64)
            # Row after row, as if all were summed at once: the same bytes.
            total = np.concatenate([total[None], more]).sum(axis=0)
        return total

    def settings(self) -> dict[str, Any]:
        """Extractor, modality, dimension and normalisation; the rest is in the files."""
        settings: dict[str, Any] = {"extractor": self.name, "modality": self.modality, "dimension": self.dimension}
        if self.normalisation is not None:
            settings["normalisation"] = self.normalisation.model_dump()
        return settings

    def files(self) -> dict[str, bytes]:
        """Embedding and tokenizer."""
        return self._files


def _matrix(embedding: bytes) -> NDArray[np.float32]:
    """The one matrix (tokens, dimension) of a safetensors file; raises InvalidInputError."""
    _require_header(embedding)
    tensors = list(load_safetensors(embedding).values())
    if len(tensors) != 1 or tensors[0].ndim != 2 or tensors[0].dtype.kind != "f":
        shapes = [f"{each.dtype} {each.shape}" for each in tensors[:4]]
        raise InvalidInputError(f"expected one matrix of floating-point numbers in {EMBEDDING}, got {shapes}")
    matrix: NDArray[np.float32] = tensors[0].astype(np.float32)
    return matrix


def _require_header(embedding: bytes) -> None:
    """Raise InvalidInputError unless a safetensors file has a short header, which names one tensor."""
    length = int.from_bytes(embedding[:HEADER_LENGTH_BYTES], "little")
    header = embedding[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + length]
    if not 2 <= length <= MOST_HEADER_BYTES or len(header) != length:
        raise InvalidInputError(f"expected {EMBEDDING} to have a header of at most {MOST_HEADER_BYTES} bytes")
    try:
        named = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"expected {EMBEDDING} to have a header of JSON: {error}") from None
    if not isinstance(named, dict) or len(named.keys() - {"__metadata__"}) != 1:
        raise InvalidInputError(f"expected {EMBEDDING} to hold one tensor")

"""Features of text: the mean of pretrained static token embeddings, scaled to unit length.

The embedding is the one that ships inside the package `wordllama` (MIT): 32,000 tokens, 256 dimensions. Only its
two data files are read. They are copied into every hasher folder, so that an upgrade of the package cannot
change the codes of a hasher, and serving needs neither the package nor a download.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors
from tokenizers import Tokenizer

from models.errors import InvalidInputError

EMBEDDING = "embedding.safetensors"
TOKENIZER = "tokenizer.json"
MAX_CHARACTERS = 100_000


class TextTooLongError(InvalidInputError):
    """A text with more characters than will be tokenized."""

    status = 413
    title = "Text too long"


class TextFeatures:
    """Mean of token embeddings; the order of the words does not count, which ones they are does."""

    modality = "text"

    def __init__(self, embedding: bytes, tokenizer: bytes, max_characters: int = MAX_CHARACTERS) -> None:
        """`embedding` is a safetensors file with one matrix (tokens, dimension), `tokenizer` a tokenizers JSON."""
        self._files = {EMBEDDING: embedding, TOKENIZER: tokenizer}
        (matrix,) = load_safetensors(embedding).values()
        self._matrix = matrix.astype(np.float32)
        self._tokenizer = Tokenizer.from_str(tokenizer.decode())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.dimension = self._matrix.shape[1]
        self.max_characters = max_characters

    @classmethod
    def pretrained(cls) -> "TextFeatures":
        """The embedding from the installed package `wordllama`."""
        found = importlib.util.find_spec("wordllama")
        if found is None or found.origin is None:
            raise InvalidInputError("text features need the package wordllama: pip install '.[train]'")
        package = Path(found.origin).parent
        return cls(
            (package / "weights" / "l2_supercat_256.safetensors").read_bytes(),
            (package / "tokenizers" / "l2_supercat_tokenizer_config.json").read_bytes(),
        )

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> "TextFeatures":
        """Restore from the files of a hasher folder."""
        return cls(files[EMBEDDING], files[TOKENIZER])

    def row(self, document: object) -> NDArray[np.float32]:
        """Unit vector (dimension,) float32 of one text."""
        if not isinstance(document, str):
            raise InvalidInputError(f"expected a text, got {type(document).__name__}")
        if len(document) > self.max_characters:
            raise TextTooLongError(f"expected a text of at most {self.max_characters} characters, got {len(document)}")
        if not document.strip():
            raise InvalidInputError("expected a text with at least one word, got an empty one")
        try:
            document.encode()
        except UnicodeEncodeError:
            raise InvalidInputError("expected Unicode text, got a lone surrogate") from None
        tokens = self._tokenizer.encode(document, add_special_tokens=False).ids
        # Summed in double precision: in single, the rounding would depend on the processor.
        total = self._matrix[tokens].sum(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(total))
        if length == 0.0:
            raise InvalidInputError("expected a text with at least one known word, got none")
        row: NDArray[np.float32] = (total / length).astype(np.float32)
        return row

    def settings(self) -> dict[str, Any]:
        """Modality and dimension; the rest is in the files."""
        return {"modality": self.modality, "dimension": self.dimension}

    def files(self) -> dict[str, bytes]:
        """Embedding and tokenizer."""
        return self._files

"""Features of text for near-duplicates: hashed n-grams of words and characters, without a vocabulary.

Each n-gram is hashed to one of `dimension` numbers and a sign, and adds the square root of its count there (feature
hashing, Weinberger et al. 2009). Texts that share most n-grams have near features, whatever their words mean.

All hashes are exact integer arithmetic, the same on every machine. A substring's hash is read off one running sum over
the text: with `P[j] = sum_{k < j} m(c_k) B^k mod 2^64`, it is `(P[j] - P[i]) B^-i`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.errors import InvalidInputError
from models.features.base import CardSettings, Document, Files, parse_settings
from models.features.normalisation import Normalisation
from models.features.text import TextFeatures

DIMENSION = 1024
MOST_DIMENSIONS = 2**16
LONGEST_GRAM = 8

Hashes = NDArray[np.uint64]
Length = Annotated[int, Field(ge=1, le=LONGEST_GRAM)]
_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)


class NgramSettings(CardSettings):
    """`words` and `characters` are the lengths of the n-grams."""

    extractor: Literal["ngrams"] = "ngrams"
    modality: Literal["text"] = "text"
    dimension: Annotated[int, Field(ge=2, le=MOST_DIMENSIONS)] = DIMENSION
    words: Annotated[list[Length], Field(max_length=LONGEST_GRAM)] = Field(default_factory=lambda: [1, 2])
    characters: Annotated[list[Length], Field(min_length=1, max_length=LONGEST_GRAM)] = Field(
        default_factory=lambda: [3, 4, 5]
    )
    normalisation: Normalisation = Normalisation()


class NgramFeatures(TextFeatures):
    """Hashed word and character n-grams; words and characters weigh the same."""

    name = "ngrams"

    def __init__(self, settings: NgramSettings | None = None) -> None:
        self._settings = settings or NgramSettings()
        super().__init__(self._settings.normalisation)
        self.dimension = self._settings.dimension

    @classmethod
    def load(cls, settings: Mapping[str, Any], files: Files) -> "NgramFeatures":
        """Restore from a card's settings."""
        return cls(parse_settings(NgramSettings, settings))

    def row(self, document: Document, query: bool = False) -> NDArray[np.float32]:
        """Unit vector (dimension,) float32 of one text."""
        text = f" {self.text(document)} "
        substrings = _Substrings(text)
        spans = np.array([match.span() for match in _WORD.finditer(text)], np.intp).reshape(-1, 2)
        words = substrings.hashes(spans[:, 0], spans[:, 1])
        total = self._sum([_sequences(words, length) for length in self._settings.words])
        total += self._sum([substrings.of_length(length) for length in self._settings.characters])
        length = float(np.sqrt(np.square(total).sum()))
        if length == 0.0:
            raise InvalidInputError("expected a text with at least one n-gram, got none")
        row: NDArray[np.float32] = (total / length).astype(np.float32)
        return row

    def settings(self) -> dict[str, Any]:
        """Extractor, modality, dimension, lengths of n-grams and normalisation."""
        return self._settings.model_dump()

    def _sum(self, groups: list[Hashes]) -> NDArray[np.float64]:
        """The signed sum (dimension,) of n-grams, of unit length; zeros where there are none."""
        salted = [_mixed(each ^ np.uint64(number + 1)) for number, each in enumerate(groups)]
        grams, counts = np.unique(np.concatenate([*salted, np.empty(0, np.uint64)]), return_counts=True)
        places = ((grams >> np.uint64(32)) % np.uint64(self.dimension)).astype(np.intp)
        signs = 1.0 - 2.0 * (grams & np.uint64(1)).astype(np.float64)
        total = np.bincount(places, signs * np.sqrt(counts), self.dimension).astype(np.float64)
        length = float(np.sqrt(np.square(total).sum()))
        return total / length if length else total


class _Substrings:
    """Hashes of the substrings of one text."""

    def __init__(self, text: str) -> None:
        points = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64)
        powers = _powers(_BASE, len(points) + 1)
        self._inverses = _powers(_INVERSE, len(points) + 1)
        self._sums = np.zeros(len(points) + 1, np.uint64)
        np.cumsum(_mixed(points + np.uint64(1)) * powers[:-1], out=self._sums[1:])

    def hashes(self, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Hashes:
        """Of the substrings from each start up to each end."""
        return _mixed((self._sums[ends] - self._sums[starts]) * self._inverses[starts])

    def of_length(self, length: int) -> Hashes:
        """Of all substrings of a length."""
        starts = np.arange(max(0, len(self._sums) - length), dtype=np.intp)
        return self.hashes(starts, starts + length)


def _sequences(words: Hashes, length: int) -> Hashes:
    """Hashes of all sequences of so many words."""
    number = max(0, len(words) - length + 1)
    total = np.zeros(number, np.uint64)
    for place in range(length):
        total = _mixed(total + words[place : place + number])
    return total


def _powers(base: int, number: int) -> Hashes:
    powers = np.full(number, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


def _mixed(values: Hashes) -> Hashes:
    """Each number scrambled, one to one: the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

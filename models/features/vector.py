"""Features of vectors: as given, or scaled to unit length where only the direction counts."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.features.base import CardSettings, Dimension, Features, Files, parse_settings

SCALES = ("none", "unit")


class VectorSettings(CardSettings):
    """`extractor` is missing on cards of the first release."""

    extractor: Literal["vector"] = "vector"
    modality: Literal["vector"]
    dimension: Dimension
    scale: Literal["none", "unit"]


class VectorFeatures(Features):
    """Takes vectors of one dimension; `scale` is `none` or `unit` (L2 distance then orders as the cosine does)."""

    name = "vector"
    modality = "vector"

    def __init__(self, dimension: int, scale: str = "none") -> None:
        if scale not in SCALES:
            raise InvalidInputError(f"expected a scale of {' or '.join(SCALES)}, got {scale!r}")
        self.dimension = dimension
        self.scale = scale

    @classmethod
    def like(cls, document: object, scale: str = "none") -> "VectorFeatures":
        """Features for vectors as long as this one."""
        return cls(len(_numbers(document, "a vector of numbers")), scale)

    @classmethod
    def load(cls, settings: Mapping[str, Any], files: Files) -> "VectorFeatures":
        """Restore from a card's settings."""
        read = parse_settings(VectorSettings, settings)
        return cls(read.dimension, read.scale)

    def row(self, document: object, query: bool = False) -> NDArray[np.float32]:
        """The vector itself, (dimension,) float32, checked: right length, finite numbers only."""
        given = _numbers(document, f"a vector of {self.dimension} numbers")
        if len(given) != self.dimension:
            raise InvalidInputError(f"expected a vector of {self.dimension} numbers, got {len(given)}")
        with np.errstate(over="ignore"):
            row = given.astype(np.float32)
        if not np.isfinite(row).all():
            place = int(np.flatnonzero(~np.isfinite(row))[0])
            raise InvalidInputError(f"expected finite float32 numbers, got {given[place]} at place {place}")
        if self.scale == "unit":
            # Halved exponents would lose nothing, but the square of a large number overflows float32.
            length = float(np.linalg.norm(row.astype(np.float64)))
            if length == 0.0:
                raise InvalidInputError("expected a vector with a direction, got all zeros")
            row = (row / length).astype(np.float32)
        return row

    def settings(self) -> dict[str, Any]:
        """Extractor, modality, dimension and scale."""
        shape = {"dimension": self.dimension, "scale": self.scale}
        return {"extractor": self.name, "modality": self.modality, **shape}


def _numbers(document: object, wanted: str) -> NDArray[Any]:
    try:
        given = np.asarray(document)
    except ValueError:
        raise InvalidInputError(f"expected {wanted}, got a nested list") from None
    if given.dtype.kind not in "fiu" or given.ndim != 1:
        raise InvalidInputError(f"expected {wanted}, got {_describe(given)}")
    return given


def _describe(given: NDArray[Any]) -> str:
    if given.ndim != 1:
        return f"an array of shape {given.shape}"
    return f"values of type {given.dtype}"

"""Features: how a document (a vector, an image, a text) becomes one float32 row."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.features.image import ImageFeatures
from models.features.text import TextFeatures
from models.features.vector import VectorFeatures

Document = str | bytes | list[float] | NDArray[Any]
MODALITIES = ("vector", "image", "text")


class Features(Protocol):
    """What a modality offers. A row depends on its document alone, never on what shares a batch with it."""

    @property
    def modality(self) -> str:
        """`vector`, `image` or `text`."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a row."""
        ...

    def row(self, document: Document) -> NDArray[np.float32]:
        """Features (dimension,) float32 of one document; raises InvalidInputError where it cannot be used."""
        ...

    def settings(self) -> dict[str, Any]:
        """What to write on the card so that `load_features` can restore the features."""
        ...

    def files(self) -> dict[str, bytes]:
        """Files, by name, that belong beside the card."""
        ...


def load_features(settings: Mapping[str, Any], files: Mapping[str, bytes]) -> Features:
    """Restore features from a card's settings and the files of its folder."""
    match settings["modality"]:
        case "vector":
            return VectorFeatures(settings["dimension"], settings["scale"])
        case "image":
            return ImageFeatures(settings["width"], settings["height"], settings["mode"])
        case "text":
            return TextFeatures.load(files)
        case other:
            raise InvalidInputError(f"expected a modality of {', '.join(MODALITIES)}, got {other!r}")

"""Features: how a document (a vector, an image, a text) becomes one float32 row.

`EXTRACTORS` is the registry. A new extractor is one file in this package and one entry there.
"""

from collections.abc import Mapping
from typing import Any

from models.errors import InvalidInputError
from models.features.base import Document, Extracted, Features, Files
from models.features.ngrams import NgramFeatures
from models.features.picture_encoder import PictureEncoder
from models.features.pixels import PixelFeatures
from models.features.static import StaticFeatures
from models.features.text_encoder import TextEncoder
from models.features.vector import VectorFeatures

__all__ = ["EXTRACTORS", "MODALITIES", "Document", "Extracted", "Features", "load_features"]

MODALITIES = ("vector", "image", "text")
EXTRACTORS: tuple[type[Features], ...] = (
    VectorFeatures,
    PixelFeatures,
    StaticFeatures,
    NgramFeatures,
    TextEncoder,
    PictureEncoder,
)
# The extractors of cards that name none: each modality had one when they were written.
_UNNAMED = {"vector": VectorFeatures.name, "image": PixelFeatures.name, "text": StaticFeatures.name}


def load_features(settings: Mapping[str, Any], files: Files) -> Features:
    """Restore features from a card's settings and the files of its folder; raises InvalidInputError."""
    modality = settings.get("modality")
    if modality not in MODALITIES:
        raise InvalidInputError(f"features/modality: expected {', '.join(MODALITIES)}, got {modality!r}")
    name = settings.get("extractor", _UNNAMED[modality])
    for extractor in EXTRACTORS:
        if (extractor.modality, extractor.name) == (modality, name):
            return extractor.load(settings, files)
    known = ", ".join(each.name for each in EXTRACTORS if each.modality == modality)
    raise InvalidInputError(f"features/extractor: expected one for {modality} ({known}), got {name!r}")

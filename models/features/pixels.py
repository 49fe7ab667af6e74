"""Features of images: pixel values from 0 to 1 of the image in grey or RGB, brought to one size."""

import io
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import InvalidInputError
from models.features.base import MAX_PIXELS, MOST_DIMENSIONS, CardSettings, Dimension, Features, Files, parse_settings
from models.features.image import open_image

MODES = {"L": 1, "RGB": 3}


class PixelSettings(CardSettings):
    """`extractor` is missing on cards of the first release."""

    extractor: Literal["pixels"] = "pixels"
    modality: Literal["image"]
    width: Dimension
    height: Dimension
    mode: Literal["L", "RGB"]


class PixelFeatures(Features):
    """Images brought to (height, width) in `mode` `L` (grey) or `RGB`, flattened row by row."""

    name = "pixels"
    modality = "image"

    def __init__(self, width: int, height: int, mode: str = "L", max_pixels: int = MAX_PIXELS) -> None:
        if mode not in MODES or width < 1 or height < 1:
            raise InvalidInputError(f"expected a size of 1 x 1 or more in mode L or RGB, got {width} x {height} {mode}")
        self.width, self.height, self.mode, self.max_pixels = width, height, mode, max_pixels
        self.dimension: int = width * height * MODES[mode]

    @classmethod
    def load(cls, settings: Mapping[str, Any], files: Files) -> "PixelFeatures":
        """Restore from a card's settings."""
        read = parse_settings(PixelSettings, settings)
        restored = cls(read.width, read.height, read.mode)
        if restored.dimension > MOST_DIMENSIONS:
            size = f"{read.width} x {read.height}"
            raise InvalidInputError(f"features: expected images of at most {MOST_DIMENSIONS} numbers, got {size}")
        return restored

    def limit(self, max_characters: int, max_pixels: int) -> None:
        """Refuse larger images than this."""
        self.max_pixels = max_pixels

    def row(self, document: object, query: bool = False) -> NDArray[np.float32]:
        """Pixel values / 255, (dimension,) float32.

        `document` is an encoded image (PNG, JPEG, WebP, GIF, BMP, TIFF: the first frame, upright by its EXIF
        orientation, transparent parts on white) or an array (h, w) or (h, w, 3) uint8.
        """
        image = open_image(document, self.max_pixels, self.mode, (self.width, self.height))
        return np.asarray(image, np.float32).reshape(-1) / np.float32(255)

    def image(self, row: NDArray[np.float32]) -> Image.Image:
        """The image of a row (dimension,), as far as a row can say: the inverse of `row` at the same size."""
        pixels = np.clip(np.rint(row * 255), 0, 255).astype(np.uint8)
        shape = (self.height, self.width) if self.mode == "L" else (self.height, self.width, 3)
        return Image.fromarray(pixels.reshape(shape))

    def png(self, row: NDArray[np.float32]) -> bytes:
        """The image of a row (dimension,), encoded as PNG: `row` gives the same row again, but for its rounding."""
        content = io.BytesIO()
        self.image(row).save(content, "PNG")
        return content.getvalue()

    def settings(self) -> dict[str, Any]:
        """Extractor, modality, size and mode."""
        size = {"width": self.width, "height": self.height, "mode": self.mode}
        return {"extractor": self.name, "modality": self.modality, **size}

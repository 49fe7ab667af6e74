"""Features of images: decoded by Pillow, to grey or RGB of one size, pixel values from 0 to 1."""

import io
import struct
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import InvalidInputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MODES = {"L": 1, "RGB": 3}
EIGHT_BITS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
MAX_PIXELS = 50_000_000
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


class ImageTooLargeError(InvalidInputError):
    """An image with more pixels than will be decoded, whatever its size in bytes."""

    status = 413
    title = "Image too large"


class ImageFeatures:
    """Images brought to (height, width) in `mode` `L` (grey) or `RGB`, flattened row by row."""

    modality = "image"

    def __init__(self, width: int, height: int, mode: str = "L", max_pixels: int = MAX_PIXELS) -> None:
        if mode not in MODES or width < 1 or height < 1:
            raise InvalidInputError(f"expected a size of 1 x 1 or more in mode L or RGB, got {width} x {height} {mode}")
        self.width, self.height, self.mode, self.max_pixels = width, height, mode, max_pixels
        self.dimension = width * height * MODES[mode]

    def row(self, document: object) -> NDArray[np.float32]:
        """Pixel values / 255, (dimension,) float32.

        `document` is an encoded image (PNG, JPEG, WebP, GIF, BMP, TIFF: the first frame, upright by its EXIF
        orientation, transparent parts on white) or an array (h, w) or (h, w, 3) uint8.
        """
        image = self._decode(document) if isinstance(document, bytes) else _from_array(document)
        image = image.convert(self.mode)
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
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
        """Modality, size and mode."""
        return {"modality": self.modality, "width": self.width, "height": self.height, "mode": self.mode}

    def files(self) -> dict[str, bytes]:
        """None: an image needs no state."""
        return {}

    def _decode(self, content: bytes) -> Image.Image:
        wanted = f"an image ({', '.join(FORMATS)})"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.open(io.BytesIO(content), formats=FORMATS)
                width, height = image.size
                if width * height > self.max_pixels:
                    raise ImageTooLargeError(
                        f"expected an image of at most {self.max_pixels} pixels, got {width} x {height}"
                    )
                # Loading stops when it has all pixels; this reads every checksum of a PNG but that of its end.
                image.verify()
                if image.format == "PNG" and PNG_END not in content:
                    raise InvalidInputError(f"expected {wanted}, got a PNG that is cut off")
                image = Image.open(io.BytesIO(content), formats=FORMATS)
                image.load()
                return _flatten(ImageOps.exif_transpose(image))
        except UnidentifiedImageError:
            raise InvalidInputError(f"expected {wanted}, got {len(content)} bytes that are none of these") from None
        except Image.DecompressionBombError as error:
            raise ImageTooLargeError(str(error)) from None
        except (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, OverflowError) as error:
            raise InvalidInputError(f"expected {wanted}, got a damaged or truncated one: {error}") from None


def _flatten(image: Image.Image) -> Image.Image:
    """One opaque 8-bit image, of a mode that converts to grey and RGB by scaling, not by clipping."""
    if image.mode not in EIGHT_BITS and not image.mode.startswith("I;16"):
        raise InvalidInputError(
            f"expected an image of 8 or 16 bits a channel, grey or in colour, got mode {image.mode}"
        )
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA"))
    return image


def _from_array(document: object) -> Image.Image:
    pixels = np.asarray(document)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise InvalidInputError(f"expected uint8 pixels (h, w) or (h, w, 3), got {pixels.dtype} {pixels.shape}")
    return Image.fromarray(pixels)

"""Images as Pillow decodes them, bounded and checked: what every extractor for images begins with."""

import io
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import InvalidInputError
from models.features.base import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
EIGHT_BITS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


class ImageTooLargeError(InvalidInputError):
    """An image with more pixels than will be decoded, whatever its size in bytes."""

    status = 413
    title = "Image too large"


def open_image(document: object, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The opaque 8-bit image of a document; raises InvalidInputError, or ImageTooLargeError above `max_pixels`.

    `document` is an encoded image (PNG, JPEG, WebP, GIF, BMP, TIFF: the first frame, upright by its EXIF
    orientation, transparent parts on white) or an array (h, w) or (h, w, 3) uint8.
    """
    return _decode(document, max_pixels) if isinstance(document, bytes) else _from_array(document)


def _decode(content: bytes, max_pixels: int) -> Image.Image:
    wanted = f"an image ({', '.join(FORMATS)})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = image.size
            if width * height > max_pixels:
                raise ImageTooLargeError(f"expected an image of at most {max_pixels} pixels, got {width} x {height}")
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

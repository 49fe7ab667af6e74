"""Images as Pillow decodes them, bounded and checked: what every extractor for images begins with.

Whatever is wrong with an image is that image's fault, whichever exception a decoder raises. A file decides how much
work and memory it takes, so what it says is bounded before it is decoded: pixels, the length of a side, the scans of a
JPEG, the entries of a TIFF.
"""

import ctypes
import io
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from models.errors import InvalidInputError, is_fault
from models.features.base import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
WANTED = f"an image ({', '.join(FORMATS)})"
EIGHT_BITS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
# To make an image smaller takes memory for each pixel of a side, too: 16 bytes.
LONGEST_SIDE = 65_535
# A step of work between which other threads go on: some of Pillow's operations hold the interpreter's lock.
BAND_PIXELS = 2**19
# A JPEG's scans each go over all pixels; of common encoders a progressive one has 10.
COMMON_SCANS = 16
# What a run-length encoded BMP takes, as Pillow decodes it in Python.
RLE_FACTOR = 16
MOST_TIFF_TAGS = 4096
MOST_TIFF_VALUES, MOST_TIFF_OFFSETS = 2**18, 2**16
# Chunks, markers, blocks: large files of common encoders have a few thousand.
MOST_PARTS = 2**16
MOST_EXIF_BYTES = 2**20
PNG_BEGIN = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
BMP_RLE = (1, 2)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageTooLargeError(InvalidInputError):
    """An image with more pixels than will be decoded, whatever its size in bytes."""

    status = 413
    title = "Image too large"


def pixels_of(content: bytes) -> int:
    """How many pixels it takes to decode an image, by its header; 0 where it is none."""
    if content.startswith(PNG_BEGIN) and len(content) >= len(PNG_BEGIN) + 8:
        width, height = struct.unpack_from(">II", content, len(PNG_BEGIN))
        return int(width * height)
    try:
        with decoding(content):
            image = _open(content)
            return image.width * image.height * _factor(image, content)
    except InvalidInputError:
        return 0


def open_image(
    document: object, max_pixels: int = MAX_PIXELS, mode: str | None = None, size: tuple[int, int] | None = None
) -> Image.Image:
    """The opaque 8-bit image of a document; raises InvalidInputError, or ImageTooLargeError above `max_pixels`.

    `document` is an encoded image (PNG, JPEG, WebP, GIF, BMP, TIFF: the first frame, upright by its EXIF
    orientation, transparent parts on white) or an array (h, w) or (h, w, 3) uint8. It is brought to a `mode`
    of Pillow's and to a `size` (width, height), by bilinear resampling, where they are given.
    """
    with decoding(document):
        image = _decode(document, max_pixels) if isinstance(document, bytes) else _from_array(document)
        if mode is not None:
            image = image.convert(mode)
        if size is not None and image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return image


def _decode(content: bytes, max_pixels: int) -> Image.Image:
    image = _open(content)
    if image.format == "TIFF":
        _quiet_libtiff()
    width, height = image.size
    factor = _factor(image, content)
    if width * height * factor > max_pixels:
        counted = f", each of which counts {factor} times by how it is encoded" if factor > 1 else ""
        raise ImageTooLargeError(f"expected an image of at most {max_pixels} pixels, got {width} x {height}{counted}")
    if max(width, height) > LONGEST_SIDE:
        raise ImageTooLargeError(f"expected an image of at most {LONGEST_SIDE} pixels a side, got {width} x {height}")
    # Loading stops when it has all pixels; this reads every checksum of a PNG but that of its end.
    image.verify()
    if image.format == "PNG" and PNG_END not in content:
        raise InvalidInputError(f"expected {WANTED}, got a PNG that is cut off")
    image = _open(content)
    image.load()
    turn = _turn(image)
    return _flatten(image if turn is None else image.transpose(turn))


def _flatten(image: Image.Image) -> Image.Image:
    """One opaque 8-bit image, of a mode that converts to grey and RGB by scaling, not by clipping."""
    if image.mode not in EIGHT_BITS and not image.mode.startswith("I;16"):
        raise InvalidInputError(
            f"expected an image of 8 or 16 bits a channel, grey or in colour, got mode {image.mode}"
        )
    deep = image.mode.startswith("I;16")
    if not deep and not image.has_transparency_data:
        return image
    made = Image.new("L" if deep else "RGB", image.size)
    rows = max(1, BAND_PIXELS // max(1, image.width))
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(image.height, top + rows)))
        made.paste(_of_eight_bits(band) if deep else _on_white(band), (0, top))
    return made


def _of_eight_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _from_array(document: object) -> Image.Image:
    pixels = np.asarray(document)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise InvalidInputError(f"expected uint8 pixels (h, w) or (h, w, 3), got {pixels.dtype} {pixels.shape}")
    return Image.fromarray(pixels)


@contextmanager
def decoding(document: object) -> Iterator[None]:
    """Work of Pillow's on a document, every exception of which is raised as InvalidInputError."""
    try:
        with _no_warnings:
            yield
    except InvalidInputError:
        raise
    except UnidentifiedImageError:
        came = f"{len(document)} bytes that are" if isinstance(document, bytes) else "what is"
        raise InvalidInputError(f"expected {WANTED}, got {came} none of these") from None
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"expected {WANTED} of fewer pixels: {error}") from None
    except MemoryError:
        raise ImageTooLargeError(f"expected {WANTED}, got one that takes more memory than there is") from None
    except BaseException as error:
        if not is_fault(error):
            raise
        said = str(error)[:200] or type(error).__name__
        raise InvalidInputError(f"expected {WANTED}, got a damaged or truncated one: {said}") from None


def _open(content: bytes) -> Image.Image:
    _require_few_parts(content)
    return Image.open(io.BytesIO(content), formats=FORMATS)


@cache
def _quiet_libtiff() -> None:
    """Have libtiff write nothing to standard error: a few bytes can make it write a line for each row of an image.

    What it would write is in no error of Pillow's, and there is no other way to its handlers.
    """
    with suppress(OSError):
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        for path in mapped:
            if Path(path).name.startswith("libtiff"):
                library = ctypes.CDLL(path)
                for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                    handler = getattr(library, name)
                    handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                    handler(None)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How an image is to be turned by its EXIF, None where it stands upright or its EXIF cannot be read."""
    if len(image.info.get("exif", b"")) > MOST_EXIF_BYTES:
        return None
    try:
        return TURNS.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    except Exception:
        # Metadata says nothing of the pixels: a good picture is not refused for it.
        return None


def _factor(image: Image.Image, content: bytes) -> int:
    """How many times each pixel is worked on, compared with a common image."""
    if image.format in ("JPEG", "MPO"):
        return -(-_scans(content) // COMMON_SCANS) or 1
    if image.format == "BMP" and image.info.get("compression") in BMP_RLE:
        return RLE_FACTOR
    return 1


# What ends the data of a scan: a marker that is neither a stuffed byte, nor a restart, nor a fill byte.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _scans(content: bytes) -> int:
    """How many scans a JPEG has; those of thumbnails within its metadata do not count."""
    return sum(marker == _SCAN for marker, _ in _jpeg_segments(content))


_SCAN, _END = 0xDA, 0xD9


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG that have a length, each with where it ends; a fill byte counts as marker 0."""
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            return
        marker = content[at + 1]
        if marker == _END:
            return
        if marker == 0xFF:
            at += 1
            yield 0, at
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
            yield 0, at
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            yield marker, at
            if marker == _SCAN:
                found = _AFTER_SCAN.search(content, at)
                if found is None:
                    return
                at = found.start()


def _require_few_parts(content: bytes) -> None:
    """Raise InvalidInputError for a file of more parts than can be meant: Pillow reads each of them in Python."""
    if content.startswith(b"\x89PNG"):
        _require_few(_png_chunks(content), "a PNG", "chunks")
    elif content.startswith(b"\xff\xd8"):
        _require_few(_jpeg_segments(content), "a JPEG", "markers")
    elif content.startswith(b"GIF8"):
        _require_few(_gif_blocks(content), "a GIF", "blocks before its first image")
    elif content[:2] in _TIFF_ORDERS:
        _require_few_values(content)


def _require_few(parts: Iterator[object], kind: str, what: str) -> None:
    if sum(1 for _ in islice(parts, MOST_PARTS + 1)) > MOST_PARTS:
        raise InvalidInputError(f"expected {WANTED}, got {kind} of more than {MOST_PARTS} {what}")


def _png_chunks(content: bytes) -> Iterator[int]:
    """Where each chunk of a PNG ends, up to its last one: what follows that belongs to no image."""
    at = 8
    while at + 8 <= len(content):
        kind = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        yield at
        if kind == b"IEND":
            return


def _gif_blocks(content: bytes) -> Iterator[int]:
    """Where each block of a GIF's extensions ends, up to its first image."""
    at = 13
    if len(content) > at and content[10] & 0x80:
        at += 3 << ((content[10] & 7) + 1)
    while at + 2 < len(content) and content[at] != ord(","):
        # Anything that is no extension is passed over.
        at += 2 if content[at] == ord("!") else 1
        yield at
        if content[at - 2] == ord("!"):
            while at < len(content) and content[at]:
                at += 1 + content[at]
                yield at
            at += 1


_TIFF_ORDERS = {b"II": "<", b"MM": ">"}
_TIFF_OFFSETS = {273, 279, 324, 325}
_TIFF_DIRECTORIES = {34665, 34853, 40965}


def _require_few_values(content: bytes) -> None:
    """Raise InvalidInputError for a TIFF of which a directory has more values than can be meant.

    Pillow makes an object of each, and a tile of each offset; it reads the first directory, and those of its EXIF.
    """
    order = _TIFF_ORDERS[content[:2]]
    if len(content) < 16:
        return
    (version,) = struct.unpack_from(f"{order}H", content, 2)
    big = version == 43
    first = struct.unpack_from(f"{order}Q", content, 8)[0] if big else struct.unpack_from(f"{order}I", content, 4)[0]
    directories = [(first, 0)]
    while directories:
        at, depth = directories.pop()
        for tag, kind, count, value in _tiff_entries(content, at, order, big):
            most = MOST_TIFF_OFFSETS if tag in _TIFF_OFFSETS else MOST_TIFF_VALUES
            # Bytes and text are taken as they are.
            if kind not in (1, 2, 6, 7) and count > most:
                raise InvalidInputError(f"expected {WANTED}, got a TIFF with {count} values of its tag {tag}")
            if tag in _TIFF_DIRECTORIES and depth < 2:
                directories.append((value, depth + 1))


def _tiff_entries(content: bytes, at: int, order: str, big: bool) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and value (or where it is) of each entry of a directory."""
    entry, counter = (f"{order}HHQQ", f"{order}Q") if big else (f"{order}HHII", f"{order}H")
    if at + struct.calcsize(counter) > len(content):
        return
    (tags,) = struct.unpack_from(counter, content, at)
    if tags > MOST_TIFF_TAGS:
        raise InvalidInputError(f"expected {WANTED}, got a TIFF with {tags} tags")
    at += struct.calcsize(counter)
    for _ in range(tags):
        if at + struct.calcsize(entry) > len(content):
            return
        tag, kind, count, value = struct.unpack_from(entry, content, at)
        yield tag, kind, count, value
        at += struct.calcsize(entry)


class _NoWarnings:
    """Ignores warnings while any thread is within it: `warnings.catch_warnings` is for one thread at a time.

    A hostile picture would fill the log, or be refused where warnings are errors.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._caught: warnings.catch_warnings[Any] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._within == 0:
                self._caught = warnings.catch_warnings(action="ignore")
                self._caught.__enter__()
            self._within += 1

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0 and self._caught is not None:
                self._caught.__exit__(None, None, None)
                self._caught = None


_no_warnings = _NoWarnings()

"""Pictures of every format that is taken, changed at random, through all that is done with them, in a process alone.

`python -m tests.attack.mutating SEED SECONDS NOTES`: the same seed makes the same mutants, one after the other. What it
is at stands in the file NOTES, as a decoder may end the process.
"""

import io
import json
import random
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from models.errors import InvalidInputError
from models.features.image import pixels_of
from models.features.pixels import PixelFeatures

MOST_PIXELS = 1_000_000
# Of a mutant, on a machine that does other things as well.
MOST_SECONDS = 5.0
MOST_BYTES = 400 * 2**20
SIDE = 37
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 254, 255)
NUMBERS = (0, 1, 2, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def corpus() -> dict[str, bytes]:
    """Encoded pictures by what they are."""
    rng = np.random.default_rng(1)
    # Half noise, half one colour: long and short runs.
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    noise[SIDE // 2 :] = (200, 30, 90)
    colour = Image.fromarray(noise)
    clear = colour.convert("RGBA")
    clear.putalpha(Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)))
    deep = Image.fromarray(rng.integers(0, 2**16, (SIDE, SIDE), dtype=np.uint16))
    grey, palette, bilevel = colour.convert("L"), colour.convert("P"), colour.convert("1")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9286] = 6, "maker", "a comment"
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "one")
    text.add_text("Long", "words " * 100, zip=True)
    text.add_itxt("Note", "ünïcode", "de", zip=True)
    profile = bytes(rng.integers(0, 256, 300, dtype=np.uint8))
    more = {"save_all": True, "append_images": [grey.convert("RGB"), colour.rotate(90)], "duration": 40}
    made = {
        "png": _saved(colour, "PNG"),
        "png grey": _saved(grey, "PNG"),
        "png alpha": _saved(clear, "PNG", dpi=(72, 72)),
        "png grey alpha": _saved(clear.convert("LA"), "PNG"),
        "png palette": _saved(palette, "PNG", transparency=bytes(range(200))),
        "png bilevel": _saved(bilevel, "PNG"),
        "png deep": _saved(deep, "PNG"),
        "png key": _saved(colour, "PNG", transparency=(1, 2, 3)),
        "png notes": _saved(colour, "PNG", pnginfo=text, exif=exif, icc_profile=profile),
        "png animated": _saved(colour, "PNG", **more),
        "png interlaced": _interlaced(),
        "jpeg": _saved(colour, "JPEG", quality=80),
        "jpeg progressive": _saved(colour, "JPEG", progressive=True, exif=exif, icc_profile=profile, comment=b"c"),
        "jpeg grey": _saved(grey, "JPEG", restart_marker_blocks=2),
        "jpeg cmyk": _saved(colour.convert("CMYK"), "JPEG"),
        "jpeg several": _saved(colour, "MPO", save_all=True, append_images=[colour]),
        "webp": _saved(colour, "WEBP", exif=exif),
        "webp lossless": _saved(clear, "WEBP", lossless=True, icc_profile=profile),
        "webp animated": _saved(clear, "WEBP", **more),
        "gif": _saved(palette, "GIF", comment=b"c"),
        "gif clear": _saved(palette, "GIF", transparency=3, interlace=1),
        "gif animated": _saved(colour, "GIF", **more),
        "bmp": _saved(colour, "BMP"),
        "bmp palette": _saved(palette, "BMP"),
        "bmp bilevel": _saved(bilevel, "BMP"),
        "bmp alpha": _saved(clear, "BMP"),
        "bmp runs": _runs(8),
        "bmp short runs": _runs(4),
        "tiff": _saved(colour, "TIFF", exif=exif),
        "tiff deep": _saved(deep, "TIFF"),
        "tiff bilevel": _saved(bilevel, "TIFF", compression="group4"),
        "tiff palette": _saved(palette, "TIFF"),
        "tiff cmyk": _saved(colour.convert("CMYK"), "TIFF"),
        "tiff alpha": _saved(clear, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}),
        "tiff several": _saved(colour, "TIFF", save_all=True, append_images=[grey, palette]),
        "tiff big": _saved(colour, "TIFF", big_tiff=True),
        "tiff tiles": _saved(colour.resize((64, 64)), "TIFF", compression="raw", tiffinfo={322: 16, 323: 16}),
        "tiff floats": _saved(grey.convert("F"), "TIFF"),
        "tiff wholes": _saved(grey.convert("I"), "TIFF"),
    }
    for compression in ("packbits", "tiff_deflate", "jpeg", "tiff_adobe_deflate"):
        made[f"tiff {compression}"] = _saved(colour, "TIFF", compression=compression)
    made["tiff ycbcr"] = _saved(colour.convert("YCbCr"), "TIFF", compression="jpeg")
    return made


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    # Copies, as an image keeps what its last encoder was told.
    if isinstance(further := options.get("append_images"), list):
        options["append_images"] = [each.copy() for each in further]
    image.copy().save(content, kind, **options)  # type: ignore[arg-type]
    return content.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG, with the checksum that fits."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _interlaced() -> bytes:
    """An interlaced PNG of 8 x 8 grey pixels: seven passes, each row with its filter."""
    rows = b"".join(b"\0" + bytes(range(width)) for width, count in _PASSES for _ in range(count))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


_PASSES = ((1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4))


def _runs(bits: int) -> bytes:
    rows = b"".join(b"\x05\x11\x00\x03\x01\x02\x03\x00\x07\x22\x00\x02\x01\x00" + b"\0\0" for _ in range(16)) + b"\0\1"
    palette = bytes(range(256)) * 4 if bits == 8 else bytes(range(64))
    begin = 54 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", begin + len(rows), 0, 0, begin)
    size = struct.pack("<IiiHHII", 40, 16, 16, 1, bits, 1 if bits == 8 else 2, len(rows))
    return head + size + struct.pack("<iiII", 0, 0, len(palette) // 4, 0) + palette + rows


def _flip(draw: random.Random, content: bytearray, other: bytes) -> None:
    for _ in range(draw.randint(1, 8)):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def _set(draw: random.Random, content: bytearray, other: bytes) -> None:
    for _ in range(draw.randint(1, 4)):
        content[draw.randrange(len(content))] = draw.choice(INTERESTING)


def _number(draw: random.Random, content: bytearray, other: bytes) -> None:
    # Most of what decides stands at the beginning.
    at = draw.randrange(min(len(content), draw.choice((32, 64, 256, 10**9))))
    value = struct.pack(draw.choice("<>") + "I", draw.choice(NUMBERS))[draw.choice((0, 2)) :]
    content[at : at + len(value)] = value


def _cut(draw: random.Random, content: bytearray, other: bytes) -> None:
    del content[draw.randrange(len(content)) :]


def _drop(draw: random.Random, content: bytearray, other: bytes) -> None:
    at = draw.randrange(len(content))
    del content[at : at + draw.randint(1, 64)]


def _repeat(draw: random.Random, content: bytearray, other: bytes) -> None:
    at = draw.randrange(len(content))
    part = content[at : at + draw.randint(1, 64)]
    content[at:at] = part * draw.choice((1, 2, 50))


def _insert(draw: random.Random, content: bytearray, other: bytes) -> None:
    at = draw.randrange(len(content))
    content[at:at] = draw.randbytes(draw.randint(1, 32))


def _splice(draw: random.Random, content: bytearray, other: bytes) -> None:
    at, there = draw.randrange(len(content)), draw.randrange(len(other))
    content[at : at + draw.randint(0, 64)] = other[there : there + draw.randint(1, 200)]


def _join(draw: random.Random, content: bytearray, other: bytes) -> None:
    content[draw.randrange(len(content)) :] = other[draw.randrange(len(other)) :]


CHANGES: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    *(_flip, _flip, _set, _set, _number, _number, _number),
    *(_cut, _drop, _repeat, _insert, _splice, _join),
)


def _png_again(draw: random.Random, content: bytes) -> bytes:
    """A PNG with checksums that fit, so that decoders see what was changed; chunks may be left out or moved."""
    found = []
    at = 8
    while at + 8 <= len(content) and len(found) < 100:
        (length,) = struct.unpack_from(">I", content, at)
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if len(found) > 2 and draw.random() < 0.4:
        found.pop(draw.randrange(1, len(found) - 1))
    if len(found) > 2 and draw.random() < 0.2:
        draw.shuffle(found)
    if draw.random() < 0.3:
        found = [(name, _inflated_again(draw, held)) if name == b"IDAT" else (name, held) for name, held in found]
    return content[:8] + b"".join(chunk(name, held) for name, held in found)


def _inflated_again(draw: random.Random, held: bytes) -> bytes:
    try:
        rows = bytearray(zlib.decompressobj().decompress(held, 2**20))
    except zlib.error:
        return held
    if rows:
        _set(draw, rows, held)
    return zlib.compress(bytes(rows))


def mutants(seed: int) -> Iterator[tuple[int, str, bytes]]:
    """Numbered mutants without an end, each with what it was made of; each by itself, from the seed and its number."""
    pictures = corpus()
    names = sorted(pictures)
    number = 0
    while True:
        draw = random.Random(f"{seed} {number}")
        name = draw.choice(names)
        content = bytearray(pictures[name])
        for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
            if content:
                draw.choice(CHANGES)(draw, content, pictures[draw.choice(names)])
        mutant = bytes(content)
        if mutant.startswith(b"\x89PNG") and draw.random() < 0.7:
            mutant = _png_again(draw, mutant)
        yield number, name, mutant
        number += 1


def _memory() -> int:
    """The most that this process ever had in memory, in bytes; not what the one that started it had."""
    (line,) = (each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _check(features: PixelFeatures, mutant: bytes) -> str:
    """What came of a mutant: `row`, or the kind of the error; anything else is raised."""
    counted = pixels_of(mutant)
    assert isinstance(counted, int) and counted >= 0
    try:
        row = features.row(mutant)
    except InvalidInputError as error:
        assert str(error).startswith("expected "), str(error)
        return error.title
    assert row.shape == (features.dimension,) and row.dtype == np.float32
    assert np.isfinite(row).all() and row.min() >= 0 and row.max() <= 1
    return "row"


def main(seed: int, seconds: float, notes: Path) -> None:
    """Check mutants for so long; print what came of them as JSON."""
    # Each for what it is alone: the second is of another size and mode.
    features = [PixelFeatures(8, 8, "RGB", MOST_PIXELS), PixelFeatures(50, 3, "L", MOST_PIXELS)]
    came: Counter[str] = Counter()
    slowest, before = (0.0, -1), _memory()
    end = time.monotonic() + seconds
    with notes.open("w+b", buffering=0) as file:
        for number, name, mutant in mutants(seed):
            file.seek(0)
            file.write(f"{number:12} {name:40}".encode())
            started = time.process_time()
            try:
                came[_check(features[number % 2], mutant)] += 1
            except BaseException as error:
                told = {"number": number, "of": name, "error": repr(error)[:500], "hex": mutant[:4096].hex()}
                print(json.dumps({"failed": told}))
                raise
            slowest = max(slowest, (time.process_time() - started, number))
            if time.monotonic() > end:
                break
    print(json.dumps({"came": came, "slowest": slowest, "grown": _memory() - before, "mutants": number + 1}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))

"""Alterations of pictures: kinds that training may use as views of a picture, and kinds that it does not."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Picture = Image.Image
Random = np.random.Generator
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Alteration:
    """One kind of alteration of an RGB picture, and whether training may have seen its kind."""

    name: str
    trained: bool
    apply: Callable[[Picture, Random], Picture]


def crop(picture: Picture, rng: Random) -> Picture:
    """5 to 10 % cut off at each side."""
    width, height = picture.size
    left, top, right, bottom = rng.uniform(0.05, 0.1, 4)
    return picture.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


def blur(picture: Picture, rng: Random) -> Picture:
    """Gaussian, with a radius of 2 % of the longer side."""
    return picture.filter(ImageFilter.GaussianBlur(0.02 * max(picture.size)))


def jpeg(picture: Picture, rng: Random) -> Picture:
    """JPEG of quality 10 to 30."""
    return _coded(picture, "JPEG", int(rng.integers(10, 31)))


def brightness(picture: Picture, rng: Random) -> Picture:
    """Brighter or darker by 20 to 40 %."""
    return ImageEnhance.Brightness(picture).enhance(1 + _signed(0.2, 0.4, rng))


def noise(picture: Picture, rng: Random) -> Picture:
    """Gaussian noise of standard deviation 15 to 25 of 255."""
    pixels = np.asarray(picture, np.float32)
    noisy = pixels + rng.uniform(15, 25) * rng.standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def turn(picture: Picture, rng: Random) -> Picture:
    """Turned by 3 to 8 degrees, white in the corners."""
    return picture.rotate(_signed(3, 8, rng), Image.Resampling.BICUBIC, fillcolor=WHITE)


def grey(picture: Picture, rng: Random) -> Picture:
    """Without its colours."""
    return picture.convert("L").convert("RGB")


def border(picture: Picture, rng: Random) -> Picture:
    """A border of one grey, 4 to 8 % wide."""
    level = int(rng.integers(256))
    return ImageOps.expand(picture, max(1, round(rng.uniform(0.04, 0.08) * max(picture.size))), (level,) * 3)


def write_on(picture: Picture, rng: Random) -> Picture:
    """A line of text across a lower or upper part."""
    marked = picture.copy()
    width, height = marked.size
    draw = ImageDraw.Draw(marked)
    top = height * rng.uniform(0.05, 0.75)
    level = 0 if rng.integers(2) else 255
    draw.text((0.05 * width, top), "sample - not for sale", fill=(level,) * 3, font_size=max(6, 0.11 * height))
    return marked


def contrast(picture: Picture, rng: Random) -> Picture:
    """Less contrast by 40 to 60 %."""
    return ImageEnhance.Contrast(picture).enhance(rng.uniform(0.4, 0.6))


def gamma(picture: Picture, rng: Random) -> Picture:
    """Each value to the power of 0.5 or 2."""
    power = 0.5 if rng.integers(2) else 2.0
    return picture.point([round(255 * (value / 255) ** power) for value in range(256)] * 3)


def shear(picture: Picture, rng: Random) -> Picture:
    """Sheared sideways by 8 to 15 %, white in the corners."""
    slope = _signed(0.08, 0.15, rng)
    matrix = (1, slope, -slope * picture.height / 2, 0, 1, 0)
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=WHITE)


def perspective(picture: Picture, rng: Random) -> Picture:
    """Each corner pulled in by up to 8 %, as a photograph of a print."""
    width, height = picture.size
    pulls = rng.uniform(0, 0.08, (4, 2)) * (width, height)
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)], float)
    corners += pulls * ((1, 1), (1, -1), (-1, -1), (-1, 1))
    return picture.transform(picture.size, Image.Transform.QUAD, tuple(corners.ravel()), Image.Resampling.BICUBIC)


def cover(picture: Picture, rng: Random) -> Picture:
    """A grey block over 4 % of the area."""
    covered = picture.copy()
    width, height = covered.size
    left, top = rng.uniform(0.1, 0.7, 2) * (width, height)
    ImageDraw.Draw(covered).rectangle((left, top, left + 0.2 * width, top + 0.2 * height), fill=(128, 128, 128))
    return covered


def pixelate(picture: Picture, rng: Random) -> Picture:
    """Down to 24 pixels at the longer side and up again, in blocks."""
    scale = 24 / max(picture.size)
    small = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.NEAREST)


def few_colours(picture: Picture, rng: Random) -> Picture:
    """Eight colours, dithered, as an old GIF."""
    return picture.quantize(8, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB")


def tint(picture: Picture, rng: Random) -> Picture:
    """Each colour channel times 0.6 to 1: another white balance."""
    factors = rng.uniform(0.6, 1.0, 3)
    return Image.fromarray((np.asarray(picture) * factors).astype(np.uint8))


def sharpen(picture: Picture, rng: Random) -> Picture:
    """An unsharp mask of three times the usual strength."""
    return picture.filter(ImageFilter.UnsharpMask(2, 300, 0))


ALTERATIONS = (
    Alteration("crop", True, crop),
    Alteration("blur", True, blur),
    Alteration("JPEG", True, jpeg),
    Alteration("brightness", True, brightness),
    Alteration("noise", True, noise),
    Alteration("turn", True, turn),
    Alteration("grey", True, grey),
    Alteration("border", True, border),
    Alteration("text on it", True, write_on),
    Alteration("contrast", True, contrast),
    Alteration("gamma", False, gamma),
    Alteration("shear", False, shear),
    Alteration("perspective", False, perspective),
    Alteration("part covered", False, cover),
    Alteration("pixelated", False, pixelate),
    Alteration("eight colours", False, few_colours),
    Alteration("tint", False, tint),
    Alteration("sharpened", False, sharpen),
)


def encoded(picture: Picture) -> bytes:
    """The picture as a PNG file, which keeps every pixel."""
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _coded(picture: Picture, kind: str, quality: int) -> Picture:
    content = io.BytesIO()
    picture.save(content, kind, quality=quality)
    return Image.open(content).convert("RGB")


def _signed(least: float, most: float, rng: Random) -> float:
    return float(rng.uniform(least, most) * (1 if rng.integers(2) else -1))

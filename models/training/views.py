"""Views: altered copies of a document, from which a code for near-duplicates learns what not to notice.

Each view has one or two alterations of its modality, drawn at random. Views are made of documents, before features, so
that they serve any extractor; of a vector, which is its own features, a view is the vector with noise.
"""

import io
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from models.features import Document, Features
from models.features.image import open_image
from models.training.config import Config

VIEWS = 6
"""Views that are made of a document."""
BATCH = 64
LARGEST = 256
"""Pixels of the longer side of a picture that is altered: larger ones are brought to it."""
BOILERPLATE = ("Home | News | Contact", "Copyright, all rights reserved.", "Published online.", "Click here for more.",
               "Introduction:", "Related articles", "Terms of use apply.")  # fmt: skip
FILLERS = ("also", "very", "really", "then", "now", "indeed", "here", "quite", "so", "just")
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Text = Callable[[str, random.Random], str]
Picture = Callable[[Image.Image, random.Random], Image.Image]


def drop_words(text: str, rng: random.Random) -> str:
    """Each word is left out with a chance of 15 %."""
    return " ".join(word for word in text.split() if rng.random() > 0.15) or text


def add_words(text: str, rng: random.Random) -> str:
    """Up to 15 % more words."""
    words = text.split()
    for _ in range(max(1, int(0.15 * len(words) * rng.random()))):
        words.insert(rng.randint(0, len(words)), rng.choice(FILLERS))
    return " ".join(words)


def exchange_words(text: str, rng: random.Random) -> str:
    """Up to 15 % of the words become other words of the text or fillers."""
    words = text.split()
    for _ in range(max(1, int(0.15 * len(words) * rng.random()))):
        words[rng.randrange(len(words))] = rng.choice([*FILLERS, *words])
    return " ".join(words)


def reorder(text: str, rng: random.Random) -> str:
    """A run of words changes places with the rest, or two neighbouring words with each other."""
    words = text.split()
    if len(words) > 1 and rng.random() < 0.5:
        place = rng.randrange(1, len(words))
        return " ".join(words[place:] + words[:place])
    for _ in range(max(1, len(words) // 10)):
        place = rng.randrange(max(1, len(words) - 1))
        words[place : place + 2] = reversed(words[place : place + 2])
    return " ".join(words)


def truncate(text: str, rng: random.Random) -> str:
    """Up to 30 % is cut off at the end or the start."""
    words = text.split()
    kept = max(1, round(len(words) * rng.uniform(0.7, 1.0)))
    return " ".join(words[:kept] if rng.random() < 0.7 else words[-kept:])


def mistype(text: str, rng: random.Random) -> str:
    """Up to 6 % of the letters are dropped, doubled, exchanged, or swapped with the next."""
    letters = list(text)
    for _ in range(max(1, int(0.06 * len(letters) * rng.random()))):
        place = rng.randrange(len(letters))
        match rng.randrange(4):
            case 0:
                letters[place] = ""
            case 1:
                letters[place] *= 2
            case 2:
                letters[place] = rng.choice(LETTERS)
            case _:
                letters[place : place + 2] = reversed(letters[place : place + 2])
    return "".join(letters) or text


def change_case(text: str, rng: random.Random) -> str:
    """Capitals, small letters, or a capital at each word."""
    return rng.choice((str.upper, str.lower, str.title))(text)


def change_spaces(text: str, rng: random.Random) -> str:
    """Other white space between the words, and lost here and there."""
    gaps = (" ", "  ", "\n", "\t", " ", "" if rng.random() < 0.2 else " ")
    return "".join(word + rng.choice(gaps) for word in text.split())


def add_boilerplate(text: str, rng: random.Random) -> str:
    """A phrase of a page's frame before or after the text, or both."""
    before, after = rng.choice((("", 1), (1, ""), (1, 1)))
    parts = (rng.choice(BOILERPLATE) if before else "", text, rng.choice(BOILERPLATE) if after else "")
    return " ".join(part for part in parts if part)


TEXT: tuple[Text, ...] = (
    drop_words, add_words, exchange_words, reorder, truncate, mistype, change_case, change_spaces, add_boilerplate,
)  # fmt: skip


def crop(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Up to 12 % cut off at each side."""
    width, height = picture.size
    left, top, right, bottom = (rng.uniform(0, 0.12) for _ in range(4))
    box = (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    return picture.crop(box) if box[2] > box[0] and box[3] > box[1] else picture


def blur(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Gaussian, with a radius of up to 3 % of the longer side."""
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.005, 0.03) * max(picture.size)))


def compress(picture: Image.Image, rng: random.Random) -> Image.Image:
    """As a JPEG of low quality."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=rng.randint(8, 50))
    return Image.open(content).convert("RGB")


def brighten(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Brighter or darker, with more or less contrast."""
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.55, 1.5))
    return ImageEnhance.Contrast(picture).enhance(rng.uniform(0.7, 1.3))


def add_noise(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Gaussian noise on each channel."""
    pixels = np.asarray(picture, np.float32)
    noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.clip(pixels + rng.uniform(5, 30) * noise, 0, 255).astype(np.uint8))


def turn(picture: Image.Image, rng: random.Random) -> Image.Image:
    """By up to 10 degrees, with white or black corners."""
    return picture.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR, fillcolor=rng.choice(("white", "black")))


def make_grey(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Without colours, wholly or in part."""
    return ImageEnhance.Color(picture).enhance(rng.choice((0.0, 0.0, 0.4)))


def add_border(picture: Image.Image, rng: random.Random) -> Image.Image:
    """One colour around, up to 10 % wide."""
    width = max(1, round(rng.uniform(0.02, 0.1) * max(picture.size)))
    shade = rng.choice((0, 255, rng.randrange(256)))
    return ImageOps.expand(picture, width, (shade, shade, shade))


def write_on(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A line of letters somewhere on it."""
    picture = picture.copy()
    width, height = picture.size
    words = "".join(rng.choice(LETTERS) for _ in range(rng.randint(4, 12)))
    shade = rng.choice(((255, 255, 255), (0, 0, 0), (220, 30, 30)))
    place = (rng.uniform(0, 0.4) * width, rng.uniform(0, 0.85) * height)
    ImageDraw.Draw(picture).text(place, words, fill=shade, font_size=max(5.0, height * rng.uniform(0.08, 0.16)))
    return picture


PICTURE: tuple[Picture, ...] = (
    crop, blur, compress, brighten, add_noise, turn, make_grey, add_border, write_on,
)  # fmt: skip


def view(document: Document, modality: str, rng: random.Random) -> Document:
    """A text or an image with one or two alterations."""
    number = rng.choice((1, 1, 2))
    if modality == "text":
        text = str(document)
        for alter in rng.sample(TEXT, number):
            text = alter(text, rng) if text.split() else text
        return text
    picture = open_image(document, mode="RGB")
    picture.thumbnail((LARGEST, LARGEST))
    for change in rng.sample(PICTURE, number):
        picture = change(picture, rng)
    return np.asarray(picture)


def view_rows(
    features: Features,
    documents: Iterable[Document],
    seed: int,
    number: int = VIEWS,
    vector_noise: float = Config.vector_noise,
) -> Iterator[NDArray[np.float32]]:
    """Features (k, number, d) of the views of documents, some at a time; of a bad view, those of the document.

    Of vectors, the noise on each number is `vector_noise` times as strong as the vectors of a batch differ in it.
    """
    rng, remaining = random.Random(seed), iter(documents)  # nosec B311  # no secret: which alterations are drawn
    while some := list(islice(remaining, BATCH)):
        if features.modality == "vector":
            clean = features.rows(some).rows
            spread = vector_noise * clean.std(axis=0)
            noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(
                (len(some), number, clean.shape[1]), np.float32
            )
            yield clean[:, None] + spread * noise
            continue
        rows, faults = features.rows([view(each, features.modality, rng) for each in some for _ in range(number)])
        for place in faults:
            rows[place] = features.rows([some[place // number]]).rows[0]
        yield rows.reshape(len(some), number, -1)


def views_of(
    features: Features, documents: Sequence[Document], seed: int
) -> Callable[[NDArray[np.intp]], Iterator[NDArray[np.float32]]]:
    """For places in a sequence of documents, the features of their views."""
    return lambda places: view_rows(features, (documents[int(place)] for place in places), seed)

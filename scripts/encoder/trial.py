"""Whether an encoder does what it is for, and how fast: shown when its folder is made."""

import io
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from models.errors import InvalidInputError
from models.features import Document, Features

SECONDS = 2.0
# A text, one that means nearly the same, one that does not.
TEXTS = (
    (
        "How do I delete a folder with everything in it?",
        "Remove a directory and all its files",
        "The cat slept all day",
    ),
    ("The weather is lovely today", "It is so sunny outside", "A compiler turns source code into machine code"),
    ("Return the square root of a number", "Compute sqrt(x)", "Open a connection to the mail server"),
)
WORDS = " ".join(text for three in TEXTS for text in three).split()


@dataclass(frozen=True)
class Trial:
    """Cosines of near and of far pairs, and items a second on one core."""

    near: list[float]
    far: list[float]
    rate: float


def run_trial(features: Features) -> Trial:
    """Try an encoder; raises InvalidInputError where a far pair is nearer than its near one."""
    threes = TEXTS if features.modality == "text" else _pictures()
    near, far = [], []
    for documents in threes:
        rows, faults = features.rows(documents)
        for fault in faults.values():
            raise fault
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        near.append(float(unit[0] @ unit[1]))
        far.append(float(unit[0] @ unit[2]))
    if any(one <= other for one, other in zip(near, far, strict=True)):
        raise InvalidInputError(
            f"expected like items to be nearer than others, got cosines {_shown(near)} of like items and {_shown(far)} "
            f"of others: check its pooling, prefixes or preprocessing"
        )
    return Trial(near, far, _rate(features))


def _rate(features: Features) -> float:
    """Items a second of one core: texts of 5 to 40 words, pictures of 400 x 300 pixels."""
    draw = np.random.default_rng(0)
    documents: list[Document] = [" ".join(draw.choice(WORDS, draw.integers(5, 41))) for _ in range(256)]
    if features.modality == "image":
        documents = [document for three in _pictures() for document in three]
    done, started, used = 0, time.monotonic(), time.process_time()
    while done == 0 or time.monotonic() - started < SECONDS:
        features.rows(documents)
        done += len(documents)
    return done / (time.process_time() - used)


def _pictures() -> tuple[tuple[Document, ...], ...]:
    """Three drawings, each with itself blurred and smaller, and with another one."""
    drawings = [_drawing(number) for number in range(3)]
    altered = [each.resize((320, 240)).filter(ImageFilter.GaussianBlur(1)) for each in drawings]
    return tuple(
        (_png(drawings[number]), _png(altered[number]), _png(drawings[(number + 1) % 3])) for number in range(3)
    )


def _drawing(number: int) -> Image.Image:
    image = Image.new("RGB", (400, 300), ("white", "skyblue", "darkgreen")[number])
    draw = ImageDraw.Draw(image)
    if number == 0:
        draw.ellipse((100, 50, 300, 250), fill="red", outline="black", width=6)
    elif number == 1:
        draw.polygon(((40, 280), (200, 30), (360, 280)), fill="saddlebrown", outline="black")
    else:
        for left in range(20, 400, 60):
            draw.rectangle((left, 40, left + 25, 260), fill="yellow")
    return image


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _shown(cosines: list[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in cosines)

"""`digits`: 1,797 handwritten digits of 8 x 8 pixels that ship inside scikit-learn."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset, Item

FILE = Path("datasets", "data", "digits.csv.gz")


def load() -> Dataset:
    """Labelled by the digit; 17 grey levels spread over 0 to 255."""
    # Found, not imported: that takes two seconds, and only the file is wanted.
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise InvalidInputError("expected scikit-learn, which holds digits, found none: pip install '.[train]'")
    # Each line: 64 grey levels from 0 to 16, then the digit.
    lines = np.loadtxt(Path(package.origin).parent / FILE, delimiter=",").astype(np.uint8)
    images = np.rint(lines[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)

    def walk() -> Iterator[Item]:
        for number, (image, label) in enumerate(zip(images, lines[:, -1], strict=True)):
            yield Item(f"digit-{number:04d}", image, str(label), {"label": str(label)})

    return Dataset("digits", "image", len(images), walk)

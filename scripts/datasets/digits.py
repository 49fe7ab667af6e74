"""`digits`: 1,797 handwritten digits of 8 x 8 pixels that ship inside scikit-learn."""

from collections.abc import Iterator

import numpy as np

from scripts.datasets.dataset import Dataset, Item


def load() -> Dataset:
    """Labelled by the digit; 17 grey levels spread over 0 to 255."""
    from sklearn.datasets import load_digits  # a second to import, and only training installs it

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)

    def walk() -> Iterator[Item]:
        for number, (image, label) in enumerate(zip(images, data.target, strict=True)):
            yield Item(f"digit-{number:04d}", image, str(label), {"label": str(label)})

    return Dataset("digits", "image", len(images), walk)

"""The data of the benchmark: rows with labels for similar items, texts and pictures for near-copies."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import InvalidInputError
from models.evaluation.split import Labels, Split
from models.features import Features
from models.features.normalisation import Normalisation
from models.features.pixels import PixelFeatures
from models.features.static import StaticFeatures
from models.features.vector import VectorFeatures
from models.rows import Selection
from scripts.datasets import Dataset, open_dataset
from scripts.datasets import image_folder as folders
from scripts.quality import manpages
from scripts.rows import read_rows

STAMPS = Path("/usr/share/tuxpaint/stamps")
QUERIES = 1000
SHARE = 0.2
SIDE = 112
"""Fashion-MNIST's pictures have 28 pixels a side: enlarged four times, they can be altered as pictures are."""


@dataclass(frozen=True)
class Source:
    """Features (n, d) with labels (n,) or None; the last `test` rows are only for queries, where there are any."""

    features: Features
    rows: NDArray[np.float32]
    labels: Labels
    test: int = 0

    def sizes(self, wanted: list[int]) -> list[int]:
        """The sizes of base that there are items for; all there are, where that is less than the largest wanted."""
        there = len(self.rows) - (self.test or self._held())
        sizes = [size for size in sorted(set(wanted)) if size <= there]
        if wanted and there < max(wanted) and there > 1.2 * max([0, *sizes]):
            sizes.append(there)
        return sizes

    def split(self, items: int, queries: int, seed: int) -> Split:
        """So many base items, and at most so many queries that are never among them."""
        rng = np.random.default_rng(seed)
        if self.test:
            pool = np.arange(len(self.rows) - self.test)
            held = len(pool) + rng.permutation(self.test)[:queries]
        else:
            order = rng.permutation(len(self.rows))
            held, pool = order[: self._held()][:queries], order[self._held() :]
        base, held = np.sort(rng.permutation(pool)[:items]), np.sort(held)
        rows = Selection(self.rows, base)
        if self.labels is None:
            return Split(rows, self.rows[held], None, None, base, held)
        return Split(rows, self.rows[held], self.labels[base], self.labels[held], base, held)

    def _held(self) -> int:
        return min(QUERIES, round(SHARE * len(self.rows)))


def open_similar(name: str, cache: Path, encoders: Path) -> Source:
    """A data set of the part `similar`."""
    if name == "glove":
        return _source(open_dataset("glove"), None)
    if name == "fashion-mnist":
        return _source(open_dataset("fashion-mnist"), PixelFeatures(28, 28, "L"))
    if name == "glosses":
        return _source(open_dataset("wordnet"), StaticFeatures.pretrained(Normalisation()))
    raise InvalidInputError(f"expected a data set of the part similar, got {name!r}")


def _source(data: Dataset, features: Features | None) -> Source:
    if features is None:
        features = VectorFeatures.like(next(data.walk()).document)
    rows, labels = read_rows(data, features)
    return Source(features, rows, labels, data.test)


def read_texts(name: str) -> list[str]:
    """The distinct texts of `docstrings` (short) or `manpages` (long)."""
    if name == "manpages":
        texts = [section.text for section in manpages.load()]
    else:
        texts = [item.document for item in open_dataset("pydocs").walk() if isinstance(item.document, str)]
    return list(dict.fromkeys(texts))


def read_pictures(name: str) -> list[Image.Image]:
    """The pictures of `stamps`, or the test images of `fashion-mnist` enlarged: RGB, on white."""
    if name == "stamps":
        if not STAMPS.is_dir():
            raise InvalidInputError(
                f"expected pictures in {STAMPS}, found no such folder; on Debian: apt install tuxpaint-stamps-default"
            )
        return [_opaque(content) for content in _contents(folders.load(STAMPS))]
    data = open_dataset("fashion-mnist")
    images = [item.document for item in data.walk()][-data.test :]
    size = (SIDE, SIDE)
    return [
        Image.fromarray(np.asarray(image)).resize(size, Image.Resampling.BICUBIC).convert("RGB") for image in images
    ]


def _contents(data: Dataset) -> Iterator[bytes]:
    return (item.document for item in data.walk() if isinstance(item.document, bytes))


def _opaque(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")

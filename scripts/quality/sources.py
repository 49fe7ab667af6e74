"""The data of the benchmark: rows with labels for similar items, texts and pictures for near-copies."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import InvalidInputError
from models.evaluation.split import Labels, Split
from models.features import Document, Features
from models.features.encoder_folder import open_encoder
from models.features.normalisation import Normalisation
from models.features.pixels import PixelFeatures
from models.features.static import StaticFeatures
from models.features.vector import VectorFeatures
from models.rows import Selection
from scripts.console import track
from scripts.datasets import Dataset, open_dataset
from scripts.quality import manpages
from scripts.rows import read_rows

QUERIES = 1000
SHARE = 0.2
BATCH = 1024
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


def open_similar(name: str, most: int, cache: Path, encoders: Path) -> Source:
    """A data set of the part `similar`; of many texts for an encoder, those that `most` base items need."""
    match name:
        case "glove":
            data = open_dataset("glove")
            return _source(data, VectorFeatures.like(next(data.walk()).document))
        case "fashion-mnist":
            return _source(open_dataset("fashion-mnist"), PixelFeatures(28, 28, "L"))
        case "glosses":
            return _source(open_dataset("wordnet"), StaticFeatures.pretrained(Normalisation()))
        case "minilm-glosses":
            return _encoded(open_dataset("wordnet"), encoders / "minilm", cache, most + QUERIES)
        case "minilm-docstrings":
            return _encoded(open_dataset("pydocs"), encoders / "minilm", cache, most + QUERIES)
        case "stamps":
            return _encoded(open_dataset("stamps"), encoders / "efficientnet-lite0", cache, most + QUERIES)
    raise InvalidInputError(f"expected a data set of the part similar, got {name!r}")


def _source(data: Dataset, features: Features) -> Source:
    rows, labels = read_rows(data, features)
    return Source(features, rows, labels, data.test)


def _encoded(data: Dataset, folder: Path, cache: Path, most: int) -> Source:
    """Features of an encoder, of at most so many items drawn at random; they are kept for the next run."""
    if not folder.is_dir():
        raise InvalidInputError(
            f"expected an encoder in {folder}, found none: scripts/install-encoders, then "
            f"python -m scripts.encoder add {folder.name} --out {folder.parent}"
        )
    features = open_encoder(folder)
    chosen = set(np.random.default_rng(0).permutation(data.size)[:most].tolist())
    items = [item for number, item in enumerate(data.walk()) if number in chosen]
    labels = np.array([item.label or "" for item in items])
    documents = [item.document for item in items]
    digest = hashlib.sha256(json.dumps(features.settings(), sort_keys=True).encode())
    for name, content in sorted(features.files().items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    for document in documents:
        content = document.encode() if isinstance(document, str) else np.asarray(document).tobytes()
        digest.update(hashlib.sha256(content).digest())
    file = cache / f"{folder.name}-{digest.hexdigest()[:16]}.npy"
    if file.exists():
        rows = np.load(file, allow_pickle=False)
    else:
        rows = extract(features, documents)
        cache.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".part.npy")
        np.save(beside, rows)
        beside.rename(file)
    return Source(VectorFeatures(features.dimension), rows, labels)


def extract(features: Features, documents: Sequence[Document]) -> NDArray[np.float32]:
    """Features (n, d) of documents, of which none may be bad."""
    found = []
    for start in track(range(0, len(documents), BATCH), "features"):
        rows, faults = features.rows(documents[start : start + BATCH])
        for place, fault in faults.items():
            raise InvalidInputError(f"document {start + place}: {fault}")
        found.append(rows)
    return np.concatenate(found)


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
        return [_opaque(content) for content in _contents(open_dataset("stamps"))]
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

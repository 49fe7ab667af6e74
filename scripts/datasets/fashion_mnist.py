"""`fashion-mnist`: 70,000 images of clothes as IDX files (Xiao, Rasul and Vollgraf, arXiv 1708.07747)."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset, Item

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


def load(folder: Path) -> Dataset:
    """The 60,000 training images, then the 10,000 test images, labelled by class; any data in IDX form will do."""
    parts = [(read_idx(folder, f"{part}-images-idx3-ubyte"), read_idx(folder, f"{part}-labels-idx1-ubyte"), part)
             for part in ("train", "t10k")]  # fmt: skip

    def walk() -> Iterator[Item]:
        for images, labels, part in parts:
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield Item(f"{part}-{number:05d}", image, str(label), {"label": str(label)})

    train, test = (len(images) for images, _, _ in parts)
    return Dataset("fashion-mnist", "image", train + test, walk, test=test)


def read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes, plain or gzipped: two zeros, type 8, rank, sizes big-endian, then the bytes."""
    for path, opener in ((folder / name, open), (folder / f"{name}.gz", gzip.open)):
        if path.is_file():
            try:
                with opener(path, "rb") as file:
                    content = file.read()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise InvalidInputError(f"expected {path} to be whole, got a damaged file: {error}") from None
            break
    else:
        raise InvalidInputError(
            f"expected {name} or {name}.gz in {folder}, found neither; on Debian: apt install dataset-fashion-mnist, "
            "elsewhere give the folder of the four IDX files with --data-dir"
        )
    rank = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = np.frombuffer(content[4 : 4 + 4 * rank], ">u4").astype(int)
    if rank == 0 or len(content) != 4 + 4 * rank + int(np.prod(shape)):
        raise InvalidInputError(f"expected {path} to be an IDX file of unsigned bytes, got a damaged or other one")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)

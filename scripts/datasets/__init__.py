"""Datasets: what DATA may be on the command line. Each yields items one at a time and knows how many there are."""

from pathlib import Path

from models.errors import InvalidInputError
from scripts.datasets import digits, fashion_mnist, image_folder, ndjson, npz, pydocs
from scripts.datasets.dataset import Dataset, Item

__all__ = ["Dataset", "Item", "open_dataset"]

NAMES = ("digits", "pydocs", "fashion-mnist")


def open_dataset(data: str, data_dir: Path | None = None) -> Dataset:
    """The dataset meant by DATA: a name, an .npz, an .ndjson or .jsonl, or a folder of images.

    `data_dir` is where fashion-mnist's files lie, if not where Debian's package puts them.
    """
    match data:
        case "digits":
            return digits.load()
        case "pydocs":
            return pydocs.load()
        case "fashion-mnist":
            return fashion_mnist.load(data_dir or fashion_mnist.DEBIAN_FOLDER)
    path = Path(data)
    if path.is_dir():
        return image_folder.load(path)
    if path.is_file() and path.suffix == ".npz":
        return npz.load(path)
    if path.is_file() and path.suffix in ndjson.SUFFIXES:
        return ndjson.load(path)
    raise InvalidInputError(
        f"expected DATA to be {', '.join(NAMES)}, an .npz, .ndjson or .jsonl file or a folder of images, got {data!r}"
    )

"""Datasets: what DATA may be on the command line. Each yields items one at a time and knows how many there are."""

from pathlib import Path

from models.errors import InvalidInputError
from scripts.datasets import (
    digits,
    fashion_mnist,
    glove,
    image_folder,
    ndjson,
    npy,
    npz,
    parquet,
    pydocs,
    stamps,
    wordnet,
)
from scripts.datasets.dataset import Dataset, Item
from scripts.datasets.shard import WHOLE, Shard, take

__all__ = ["DATA_DIR_HELP", "DATA_HELP", "Dataset", "Item", "open_dataset"]

NAMES = ("digits", "pydocs", "wordnet", "fashion-mnist", "glove", "stamps")
DATA_HELP = f"{', '.join(NAMES)}, an .npz, .npy, .ndjson, .jsonl or .parquet file, or a folder of images or Parquet"
DATA_DIR_HELP = "folder of the files of wordnet, fashion-mnist, glove or stamps, if not where their packages put them"


def open_dataset(data: str, data_dir: Path | None = None, shard: Shard = WHOLE) -> Dataset:
    """The dataset meant by DATA, which is as DATA_HELP says, or a part; `data_dir` is as DATA_DIR_HELP says."""
    path = Path(data)
    if data not in NAMES and path.exists():
        if path.is_file() and path.suffix == ".npy":
            return npy.load(path, shard)
        if path.is_file() and path.suffix in ndjson.SUFFIXES:
            return ndjson.load(path, shard)
        if parquet.is_parquet(path):
            return parquet.load(path, shard)
    return take(_open_whole(data, data_dir), shard)


def _open_whole(data: str, data_dir: Path | None) -> Dataset:
    match data:
        case "digits":
            return digits.load()
        case "pydocs":
            return pydocs.load()
        case "wordnet":
            return wordnet.load(data_dir or wordnet.DEBIAN_FOLDER)
        case "fashion-mnist":
            return fashion_mnist.load(data_dir or fashion_mnist.DEBIAN_FOLDER)
        case "glove":
            return glove.load(data_dir)
        case "stamps":
            return stamps.load(data_dir or stamps.DEBIAN_FOLDER)
    path = Path(data)
    if path.is_dir():
        return image_folder.load(path)
    if path.is_file() and path.suffix == ".npz":
        return npz.load(path)
    raise InvalidInputError(f"expected DATA to be {DATA_HELP}, got {data!r}")

"""A folder of images: ids are paths inside it; the label is the subfolder, where there are subfolders."""

from collections.abc import Iterator
from pathlib import Path

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset, Item

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


def load(folder: Path) -> Dataset:
    """All image files at any depth, in the order of their paths; each is read when its turn comes."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise InvalidInputError(f"expected images ({', '.join(sorted(SUFFIXES))}) in {folder}, found none")

    def walk() -> Iterator[Item]:
        for path in paths:
            relative = path.relative_to(folder)
            label = relative.parts[0] if len(relative.parts) > 1 else None
            yield Item(relative.as_posix(), path.read_bytes(), label, None if label is None else {"label": label})

    return Dataset(folder.resolve().name, "image", len(paths), walk)

"""`stamps`: 796 pictures for children, as Debian's package `tuxpaint-stamps-default` holds them, in folders by kind."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from models.errors import InvalidInputError
from scripts.datasets import image_folder
from scripts.datasets.dataset import Dataset, Item

DEBIAN_FOLDER = Path("/usr/share/tuxpaint/stamps")


def load(folder: Path = DEBIAN_FOLDER) -> Dataset:
    """Each picture with its kind as the label, and its English description in the payload where it has one."""
    if not folder.is_dir():
        raise InvalidInputError(
            f"expected pictures in {folder}, found no such folder; on Debian: apt install tuxpaint-stamps-default, "
            "elsewhere give theirs by --data-dir"
        )
    pictures = image_folder.load(folder)

    def walk() -> Iterator[Item]:
        for item in pictures.walk():
            text = (folder / item.id).with_suffix(".txt")
            described = _first_line(text) if text.is_file() else ""
            yield replace(item, payload={**(item.payload or {}), "text": described}) if described else item

    return replace(pictures, name="stamps", walk=walk)


def _first_line(path: Path) -> str:
    """The English description: the first line; translations follow, each with its language before it."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip()

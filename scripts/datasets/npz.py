"""`.npz`: `x` (n, d) float vectors or (n, h, w) / (n, h, w, 3) uint8 images, and optionally labels `y` (n,)."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.errors import InvalidInputError
from scripts.datasets.dataset import Checksum, Dataset, Item
from scripts.datasets.npy import map_rows, read_layout

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)
UNREADABLE = RuntimeError  # what zipfile raises for encryption, or for compression that it does not know
LOCAL_HEADER = 30
LENGTHS_AT = 26


def load(path: Path) -> Dataset:
    """Ids are row numbers. `x` is walked row by row; as `numpy.savez` stores it, it is mapped from the file, too.

    As `numpy.savez_compressed` stores it, it cannot be mapped: `read_rows` then holds all rows in memory.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("x.npy") as member:
            entry = archive.getinfo("x.npy")
            layout = read_layout(member, f"x of {path}", entry.file_size)
            header = member.tell()
            labels = _labels(archive, path, layout.shape[0])
    except (KeyError, ValueError, UNREADABLE, *DAMAGED) as error:
        raise InvalidInputError(f"expected {path} to be an .npz with an array x: {error}") from None

    def walk() -> Iterator[Item]:
        with zipfile.ZipFile(path) as archive, archive.open("x.npy") as member:
            member.read(header)
            for number in range(layout.shape[0]):
                try:
                    content = member.read(layout.width)
                except DAMAGED as error:
                    raise InvalidInputError(f"{path} is damaged at row {number}: {error}") from None
                if len(content) != layout.width:
                    raise InvalidInputError(f"expected {layout.shape[0]} rows in {path}, got {number}")
                row = np.frombuffer(content, layout.dtype).reshape(layout.shape[1:])
                label = None if labels is None else str(labels[number])
                yield Item(str(number), row, label, None if label is None else {"label": label})

    if entry.compress_type != zipfile.ZIP_STORED:
        return Dataset(path.stem, layout.modality, layout.shape[0], walk)
    start = _start(path, entry)
    with path.open("rb") as file:
        file.seek(start)
        checksum = Checksum(zlib.crc32(file.read(header)), entry.CRC)
    array = map_rows(path, layout, start + header)
    return Dataset(path.stem, layout.modality, len(array), walk, array=array, labels=labels, checksum=checksum)


def _start(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where a member's bytes start: behind its local header, which ends with a name and extra fields."""
    with path.open("rb") as file:
        file.seek(entry.header_offset + LENGTHS_AT)
        name, extra = struct.unpack("<2H", file.read(4))
    return entry.header_offset + LOCAL_HEADER + int(name) + int(extra)


def _labels(archive: zipfile.ZipFile, path: Path, size: int) -> NDArray[np.str_] | None:
    if "y.npy" not in archive.namelist():
        return None
    with archive.open("y.npy") as member:
        labels = npy.read_array(member, allow_pickle=False)
    if labels.shape != (size,):
        raise InvalidInputError(f"expected y of {path} to be ({size},), one label a row of x, got {labels.shape}")
    # Labels repeat: one text for each that is different, not one for each row.
    names, numbers = np.unique(labels, return_inverse=True)
    return np.array([str(name) for name in names])[numbers]

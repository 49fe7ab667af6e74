"""`.npz`: `x` (n, d) float vectors or (n, h, w) / (n, h, w, 3) uint8 images, and optionally labels `y` (n,)."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset, Item

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)


def load(path: Path) -> Dataset:
    """Ids are row numbers. `x` is read row by row, so that a file larger than memory can be walked."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("x.npy") as member:
            shape, dtype = _header(member, path)
            labels = _labels(archive, path, shape[0])
    except (KeyError, ValueError, *DAMAGED) as error:
        raise InvalidInputError(f"expected {path} to be an .npz with an array x: {error}") from None
    if min(shape) < 1:
        raise InvalidInputError(f"expected rows in x of {path}, got an array of shape {shape}")
    if dtype.kind == "f" and len(shape) == 2:
        modality = "vector"
    elif dtype == np.uint8 and (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
        modality = "image"
    else:
        raise InvalidInputError(
            f"expected x of {path} to be (n, d) float, (n, h, w) uint8 or (n, h, w, 3) uint8, got {shape} {dtype}"
        )

    def walk() -> Iterator[Item]:
        width = dtype.itemsize * int(np.prod(shape[1:]))
        with zipfile.ZipFile(path) as archive, archive.open("x.npy") as member:
            _header(member, path)
            for number in range(shape[0]):
                try:
                    content = member.read(width)
                except DAMAGED as error:
                    raise InvalidInputError(f"{path} is damaged at row {number}: {error}") from None
                if len(content) != width:
                    raise InvalidInputError(f"expected {shape[0]} rows in {path}, got {number}")
                label = None if labels is None else str(labels[number])
                row = np.frombuffer(content, dtype).reshape(shape[1:])
                yield Item(str(number), row, label, None if label is None else {"label": label})

    return Dataset(path.stem, modality, shape[0], walk)


def _header(member: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(member)
    if fortran and len(shape) > 1:
        raise InvalidInputError(f"expected x of {path} in C order, got Fortran order: save numpy.ascontiguousarray(x)")
    if dtype.hasobject or not shape:
        raise InvalidInputError(f"expected x of {path} to hold numbers in rows, got {dtype} of shape {shape}")
    return shape, dtype


def _labels(archive: zipfile.ZipFile, path: Path, size: int) -> NDArray[np.generic] | None:
    if "y.npy" not in archive.namelist():
        return None
    with archive.open("y.npy") as member:
        labels: NDArray[np.generic] = npy.read_array(member, allow_pickle=False)
    if labels.shape != (size,):
        raise InvalidInputError(f"expected y of {path} to be ({size},), one label a row of x, got {labels.shape}")
    return labels

"""`.npy`: (n, d) float vectors or (n, h, w) / (n, h, w, 3) uint8 images; the parts that an `.npz` shares with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset, Item
from scripts.datasets.shard import WHOLE, Shard


@dataclass(frozen=True)
class Layout:
    """What the header of an array says: its shape (n, ...), the type of its numbers, `vector` or `image`."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    modality: str

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize * prod(self.shape[1:])


def load(path: Path, shard: Shard = WHOLE) -> Dataset:
    """Ids are row numbers; no labels. The file is mapped, never read whole, and must not change meanwhile.

    Of a shard only its rows are read.

    The format has no checksum: a file that is too short or too long is refused, a flipped bit goes unseen.
    """
    with path.open("rb") as file:
        try:
            layout = read_layout(file, str(path), path.stat().st_size)
        except ValueError as error:
            raise InvalidInputError(f"expected {path} to be a .npy file: {error}") from None
        return of_array(path.stem, layout.modality, map_rows(path, layout, file.tell()), shard)


def of_array(name: str, modality: str, array: NDArray[Any], shard: Shard = WHOLE) -> Dataset:
    """The rows of an array as items without labels, named by their numbers, which those of a shard keep."""
    start, stop = shard.bounds(len(array))
    # The rows of a memmap would each be a memmap, which is slow to make.
    rows = np.asarray(array)

    def walk() -> Iterator[Item]:
        for number in range(start, stop):
            yield Item(str(number), rows[number])

    return Dataset(name, modality, stop - start, walk, array=array if shard == WHOLE else None)


def read_layout(file: IO[bytes], what: str, size: int) -> Layout:
    """Read the header of `what`, which is `size` bytes long, and leave the file at the first row.

    Raises ValueError where it is no header, InvalidInputError where it tells of other than vectors or images.
    """
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran and len(shape) > 1:
        raise InvalidInputError(f"expected {what} in C order, got Fortran order: save numpy.ascontiguousarray(x)")
    if dtype.hasobject or not shape:
        raise InvalidInputError(f"expected {what} to hold numbers in rows, got {dtype} of shape {shape}")
    if min(shape) < 1:
        raise InvalidInputError(f"expected rows in {what}, got an array of shape {shape}")
    if dtype.kind == "f" and len(shape) == 2:
        modality = "vector"
    elif dtype == np.uint8 and (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
        modality = "image"
    else:
        raise InvalidInputError(
            f"expected {what} to be (n, d) float, (n, h, w) uint8 or (n, h, w, 3) uint8, got {shape} {dtype}"
        )
    layout = Layout(shape, dtype, modality)
    if size - file.tell() != shape[0] * layout.width:
        raise InvalidInputError(
            f"expected {shape[0]} rows of {layout.width} bytes in {what}, got {size - file.tell()} bytes in all"
        )
    return layout


def map_rows(path: Path, layout: Layout, offset: int) -> NDArray[Any]:
    """The rows that start at a byte of a file, mapped read-only."""
    return np.memmap(path, layout.dtype, "r", offset, layout.shape)

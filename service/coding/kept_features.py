"""Features as a collection keeps them for rescoring: smaller than float32, near enough to rank by."""

import numpy as np
from numpy.typing import NDArray

from service.store.schema import KeepFeatures

LARGEST_INT8 = 127


def pack(row: NDArray[np.float32], kind: KeepFeatures) -> bytes | None:
    """A row (d,) float32 as it is kept; None where none are.

    `float16` takes 2 d bytes; `int8` takes d + 4: a float32 scale (the largest magnitude / 127), then the rounded rest.
    """
    if kind == "none":
        return None
    if kind == "float16":
        most = np.finfo(np.float16).max
        return bytes(np.clip(row, -most, most).astype("<f2"))
    scale = np.float32(np.abs(row).max() / LARGEST_INT8) or np.float32(1)
    found = _int8(row, scale)
    # What was kept once, and comes again, is kept the same: its scale may be the next one to what was just computed.
    for near in (scale, np.nextafter(scale, np.float32(0)), np.nextafter(scale, np.float32(np.inf))):
        if near and np.array_equal(unpack(again := _int8(row, near), kind), row):
            return again
    return found


def _int8(row: NDArray[np.float32], scale: np.float32) -> bytes:
    # The smallest scales are so coarsely rounded themselves that the largest magnitude comes out beyond 127.
    rounded = np.clip(np.rint(row / scale), -LARGEST_INT8, LARGEST_INT8)
    return bytes(np.array(scale, "<f4")) + bytes(rounded.astype(np.int8))


def dimension(packed: bytes, kind: KeepFeatures) -> int:
    """How many numbers a row has, as it was packed."""
    return len(packed) // 2 if kind == "float16" else len(packed) - 4


def unpack(packed: bytes, kind: KeepFeatures) -> NDArray[np.float32]:
    """The row (d,) float32 again, as far as it was kept."""
    if kind == "float16":
        return np.frombuffer(packed, "<f2").astype(np.float32)
    scale = np.frombuffer(packed[:4], "<f4").astype(np.float64)
    most = np.finfo(np.float32).max
    # A scale that was rounded up would take the largest float32 beyond it.
    return np.clip(np.frombuffer(packed[4:], np.int8) * scale, -most, most).astype(np.float32)

"""Datasets through features: all rows at once for training, in batches of constant size for encoding."""

import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.features import Extracted, Features
from models.features.vector import VectorFeatures
from models.rows import blocks
from scripts.console import progress
from scripts.datasets import Dataset, Item

BATCH = 256


def read_rows(
    data: Dataset, features: Features, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.str_] | None]:
    """Features (n, d) float32 and labels (n,), None where not every item has one; raises at the first bad item.

    Where the rows are the dataset's own array already (float32 vectors that are taken as they are), it is that array,
    checked a block at a time: mapped from a file, it may be larger than memory, is read-only, and inside an .npz seldom
    lies at a multiple of four bytes. All other rows are held in memory.
    """
    if data.array is not None and _same(data.array, features):
        _check(data, data.array, features)
        return data.array, data.labels
    labels: list[str | None] = []
    rows = np.empty((data.size, features.dimension), np.float32)
    place = 0
    for batch, batch_labels in batches(data, features, threads):
        rows[place : place + len(batch)] = batch
        labels += batch_labels
        place += len(batch)
    known = [label for label in labels if label is not None]
    return rows[:place], np.array(known) if len(known) == place else None


def batches(
    data: Dataset, features: Features, threads: int = 1
) -> Iterator[tuple[NDArray[np.float32], list[str | None]]]:
    """Features and labels of the dataset, in its order, some hundred items at a time, with a progress bar.

    `threads` is how many such parts are extracted at a time; the features do not depend on it.
    """
    data.require(features.modality)
    size = max(BATCH, features.step)
    items = data.walk()
    parts = iter(lambda: list(islice(items, size)), [])
    with progress("reading", data.size) as advance, ThreadPoolExecutor(threads) as pool:

        def begin(part: list[Item]) -> tuple[list[Item], Future[Extracted]]:
            return part, pool.submit(features.rows, [item.document for item in part])

        # As many as there are threads, and one that waits: all would be read at once.
        begun = deque(begin(part) for part in islice(parts, threads + 1))
        while begun:
            some, extracted = begun.popleft()
            rows, faults = extracted.result()
            if faults:
                for _, other in begun:
                    other.cancel()
                place, error = min(faults.items())
                raise _named(data, some[place], error)
            begun.extend(begin(part) for part in islice(parts, 1))
            advance(len(some))
            yield rows, [item.label for item in some]


def _same(array: NDArray[np.generic], features: Features) -> bool:
    """Whether the features of each row of an array are the row itself."""
    unscaled = isinstance(features, VectorFeatures) and features.scale == "none"
    return unscaled and array.dtype == np.float32 and array.shape[1:] == (features.dimension,)


def _check(data: Dataset, array: NDArray[np.float32], features: Features) -> None:
    """Every number is finite, and all bytes together give the file's checksum, where it has one."""
    crc = data.checksum.before if data.checksum is not None else 0
    done = 0
    with progress("reading", data.size) as advance:
        for block in blocks(array):
            if data.checksum is not None:
                crc = zlib.crc32(block.data, crc)
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                place = int(np.argmin(finite))
                try:
                    features.row(block[place])
                except InvalidInputError as error:
                    raise _named(data, Item(str(done + place), block[place]), error) from None
            done += len(block)
            advance(len(block))
    if data.checksum is not None and crc != data.checksum.whole:
        raise InvalidInputError(f"{data.name} is damaged: Bad CRC-32 {crc:#010x}, expected {data.checksum.whole:#010x}")


def _named(data: Dataset, item: Item, error: InvalidInputError) -> InvalidInputError:
    return InvalidInputError(f"item {item.id!r} of {data.name}: {error}")

"""Codes on their way from DATA to where they are kept: items with their codes, and a folder of Parquet for them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import orjson

from models.codes import Codes
from models.errors import InvalidInputError
from models.hasher import Hasher
from scripts.datasets import Dataset, Item
from scripts.datasets.shard import Shard
from scripts.rows import BATCH

NAME = "codes.parquet"
MADE_BY = b"hammingway.hasher"

Coded = tuple[list[Item], Codes]
"""Items with their codes (n, bits / 8) uint8."""


class Sink(Protocol):
    """Where the codes of shards are kept. A shard may come twice: what a lost worker had begun is done again."""

    def write(self, shard: Shard, data: Dataset) -> int:
        """Encode the items of a shard and keep them; returns how many. Raises at the first bad item."""


class ParquetFolder:
    """A folder with one file for each shard, which appears when it is whole: `id`, `code`, and `payload` as JSON."""

    def __init__(self, folder: Path, hasher: str, bits: int) -> None:
        self._folder, self._hasher, self._bits = folder, hasher, bits

    def write(self, shard: Shard, coded: Iterator[Coded]) -> int:
        """Write a shard's file in place of the one that may be there; returns its number of items."""
        import pyarrow as pa  # an extra
        import pyarrow.parquet as pq

        fields = [("id", pa.string()), ("code", pa.binary(self._bits // 8)), ("payload", pa.string())]
        schema = pa.schema(fields, {MADE_BY: self._hasher})
        path = self._path(shard)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Each process has a name of its own: one that is thought lost may still be writing.
        new = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
        size = 0
        try:
            with pq.ParquetWriter(new, schema) as writer:
                for items, codes in coded:
                    writer.write_batch(pa.record_batch(_columns(items, codes), schema=schema))
                    size += len(items)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        return size

    def sizes(self, count: int) -> list[int | None]:
        """The number of items of each of so many shards, None of those that are not there.

        Raises InvalidInputError where the folder has codes of another hasher, or another number of shards.
        """
        paths = [self._path(Shard(number, count)) for number in range(1, count + 1)]
        if other := sorted(set(self._folder.glob("*.parquet")) - set(paths)):
            raise InvalidInputError(f"expected nothing but {count} shards in {self._folder}, got {other[0].name}")
        return [self._size(path) if path.exists() else None for path in paths]

    def _size(self, path: Path) -> int:
        import pyarrow as pa  # an extra
        import pyarrow.parquet as pq

        try:
            read = pq.read_metadata(path)
        except pa.ArrowInvalid as error:
            raise InvalidInputError(f"expected {path} to be a Parquet file: {error}") from None
        by = (read.metadata or {}).get(MADE_BY, b"").decode()
        if by != self._hasher:
            raise InvalidInputError(f"expected {path} to be by {self._hasher}, got {by or 'none'}")
        return int(read.num_rows)

    def _path(self, shard: Shard) -> Path:
        return shard.name(self._folder / NAME)


@dataclass
class ParquetShards:
    """Shards into such a folder, by the hasher of another one, which is loaded where the first shard is written."""

    folder: ParquetFolder
    hasher: Path

    def write(self, shard: Shard, data: Dataset) -> int:
        """Write all of a shard or none of it; returns its number of items."""
        return self.folder.write(shard, coded(data, self._loaded))

    @cached_property
    def _loaded(self) -> Hasher:
        return Hasher.load(self.hasher)


def coded(data: Dataset, hasher: Hasher) -> Iterator[Coded]:
    """The items of a dataset with their codes, in its order, at most 256 at a time; raises at the first bad item."""
    items = data.walk()
    while some := list(islice(items, BATCH)):
        try:
            yield some, hasher.encode([item.document for item in some])
        except InvalidInputError as error:
            raise InvalidInputError(f"items from {some[0].id!r} of {data.name}: {error}") from None


def _columns(items: list[Item], codes: Codes) -> list[Any]:
    payloads = [None if item.payload is None else orjson.dumps(item.payload).decode() for item in items]
    return [[item.id for item in items], [code.tobytes() for code in codes], payloads]

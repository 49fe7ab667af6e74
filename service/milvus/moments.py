"""Reads of whole collections in Milvus: each is read once, in the order of its ids, into this process's memory."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.codes import Codes
from models.errors import InvalidInputError
from service.collections.backend import Going
from service.collections.steadily import steadily
from service.ids import Ids
from service.index.flat import FlatIndex
from service.index.snapshot import Snapshot
from service.milvus.backend import Milvus
from service.milvus.schema import stored_item
from service.milvus.table import Table
from service.store.schema import CollectionRow

MOST_READ = 10_000_000


@dataclass(frozen=True)
class MilvusMoments:
    """What is written meanwhile may show in it or not."""

    backend: Milvus

    def codes_by_id(self, row: CollectionRow, going: Going) -> tuple[Ids, Codes]:
        """All ids, ascending, and their codes (n, bits / 8)."""
        ids, codes = Ids(), bytearray()
        for block in self._blocks(row, ["id", "code"]):
            for item in map(stored_item, block):
                ids.append(item.id)
                codes += item.code
            going()
        return ids, _codes(codes, row)

    def snapshot(self, name: str) -> tuple[CollectionRow, Snapshot] | None:
        """The collection of that name and all its codes, in the order in which they were written, or None."""
        if self.backend.collection(name) is None:
            return None
        return steadily(self.backend.collection, name, self._snapshot)

    def _snapshot(self, row: CollectionRow) -> tuple[CollectionRow, Snapshot]:
        written, codes = array("q"), bytearray()
        for block in self._blocks(row, ["id", "code", "written"]):
            for each in block:
                written.append(each["written"])
                codes += stored_item(each).code
        numbers = np.frombuffer(written, np.int64)
        order = np.argsort(numbers, kind="stable")
        index = FlatIndex(row.settings.bits)
        index.append(numbers[order], _codes(codes, row)[order])
        return row, index.snapshot()

    def features(self, row: CollectionRow, sequences: Sequence[int]) -> dict[int, bytes]:
        """Kept features by when their items were written; those removed since are left out."""
        found = self._table(row).query(f"written in {list(sequences)}", ["id", "written", "features"])
        return {each["written"]: stored_item(each).features or b"" for each in found}

    def _blocks(self, row: CollectionRow, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        table = self._table(row)
        count = table.count()
        if count > MOST_READ:
            raise InvalidInputError(f"expected a collection of {MOST_READ} items at most, got {count}", "collection")
        return table.by_id("", fields)

    def _table(self, row: CollectionRow) -> Table:
        return Table(self.backend.connection, row)


def _codes(codes: bytearray, row: CollectionRow) -> Codes:
    return np.frombuffer(codes, np.uint8).reshape(-1, row.settings.bits // 8)

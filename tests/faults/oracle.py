"""What searches have to answer, by brute force in NumPy over items that are kept in a dictionary."""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from service.items import Match
from service.store.schema import IndexSettings
from tests.filtering import holds


class Held(NamedTuple):
    """An item but for its id: its packed code; its payload as JSON text, or None."""

    code: bytes
    payload: bytes | None


@dataclass
class Oracle:
    """A collection as it has to be."""

    bits: int
    index: IndexSettings = field(default_factory=IndexSettings)
    items: dict[str, Held] = field(default_factory=dict)

    def upsert(self, written: Mapping[str, Held]) -> None:
        """The last of `items` are those that were written last."""
        self.delete(written.keys())
        self.items |= written

    def delete(self, ids: Set[str]) -> int:
        """How many were there."""
        before = len(self.items)
        self.items = {item_id: held for item_id, held in self.items.items() if item_id not in ids}
        return before - len(self.items)

    def nearest(
        self,
        query: bytes,
        limit: int,
        max_distance: int | None = None,
        condition: dict[str, Any] | None = None,
        without: str | None = None,
    ) -> list[Match]:
        """The first `limit` in the order (distance, id) of what is not `without`, within, and let through."""
        codes = {item_id: held.code for item_id, held in self.items.items() if item_id != without}
        ranked = (
            Match(item_id, distance, self.items[item_id].payload) for distance, item_id in by_distance(query, codes)
        )
        through = [
            match
            for match in ranked
            if (max_distance is None or match.distance <= max_distance)
            and (condition is None or holds(condition, json.loads(match.payload or b"{}")))
        ]
        return through[:limit]


def by_distance(query: bytes, codes: Mapping[str, bytes]) -> list[tuple[int, str]]:
    """Hamming distance and id of all packed codes, in this order."""
    if not codes:
        return []
    packed = np.frombuffer(b"".join(codes.values()), np.uint8).reshape(len(codes), -1)
    distances = np.bitwise_count(packed ^ np.frombuffer(query, np.uint8)).sum(1, dtype=np.int64)
    return sorted(zip(distances.tolist(), codes, strict=True))

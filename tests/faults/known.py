"""What a client knows of the items that it wrote: what was acknowledged, and what was under way when it was cut off."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Payload = dict[str, Any]


class Value(NamedTuple):
    """An item but for its id: its code in hex, its payload or None."""

    code: str
    payload: Payload | None


# Ids with what they become; None is deleted. Written whole or not at all.
Batch = dict[str, Value | None]


@dataclass
class Known:
    """Items of one owner: nobody else writes these ids, and the owner makes one request after the other."""

    items: dict[str, Value] = field(default_factory=dict)
    under_way: list[Batch] = field(default_factory=list)

    def begin(self, batches: Sequence[Batch]) -> None:
        """A request is sent, whose batches are written one after the other."""
        self.under_way = list(batches)

    def acknowledge(self) -> None:
        """Its reply says that all is done."""
        for batch in self.under_way:
            self.items = changed(self.items, batch)
        self.under_way = []

    def settle(self, found: dict[str, Value]) -> int:
        """Take over what was found after a cut: how many batches of the last request were written.

        Fails unless what was acknowledged is there, and nothing else than the first so many batches, each whole.
        """
        state, written = self.items, 0
        while state != found:
            assert written < len(self.under_way), f"expected the acknowledged items, {difference(self.items, found)}"
            state, written = changed(state, self.under_way[written]), written + 1
        self.items, self.under_way = found, []
        return written


def changed(items: dict[str, Value], batch: Batch) -> dict[str, Value]:
    """Items after a batch."""
    after = items | {item_id: value for item_id, value in batch.items() if value is not None}
    for item_id in batch.keys() - {item_id for item_id, value in batch.items() if value is not None}:
        after.pop(item_id, None)
    return after


def difference(expected: dict[str, Value], found: dict[str, Value]) -> str:
    """In words, for a failed test."""
    lost, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    other = sorted(item_id for item_id in expected.keys() & found.keys() if expected[item_id] != found[item_id])
    return f"lost {len(lost)} {lost[:3]}, extra {len(extra)} {extra[:3]}, different {len(other)} {other[:3]}"


def draw(random: np.random.Generator, ids: Iterable[str], bits: int, payload_bytes: int = 0) -> dict[str, Value]:
    """A new value for each id: a random code; about every other has a payload, of a number and so many bytes."""
    values = {}
    for item_id in ids:
        number, has_payload = int(random.integers(2**53)), payload_bytes > 0 or random.random() < 0.5
        payload = {"number": number, "text": "x" * payload_bytes} if has_payload else None
        values[item_id] = Value(random.bytes(bits // 8).hex(), payload)
    return values


def as_items(values: dict[str, Value]) -> list[dict[str, Any]]:
    """As requests write them."""
    return [
        {"id": item_id, "code": value.code} | ({} if value.payload is None else {"payload": value.payload})
        for item_id, value in values.items()
    ]

"""What writers have begun to write and what was acknowledged, and what a reply may hold while they go on."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.faults.known import Payload, Value

BITS = 64
GROUPS = 7
NAME = "item-"
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Filter(NamedTuple):
    """A filter as searches write it, and which items it lets through, by their numbers and versions."""

    condition: dict[str, Any]
    lets_through: Callable[[Numbers, Numbers], Mask]


class State(NamedTuple):
    """What was acknowledged of each item: its last version, the code it has in it, and whether it is there at all."""

    versions: Numbers
    codes: NDArray[np.uint64]
    there: Mask


def name(number: int) -> str:
    """An item's id: ids are in the order of the numbers."""
    return f"{NAME}{number:06d}"


def payload(number: int, version: int, code: int) -> Payload:
    """An item's payload, which tells whether all of it belongs together."""
    return {"version": version, "code": as_hex(code), "group": number % GROUPS, "odd": version % 2 == 1}


def as_hex(code: int) -> str:
    """A code as requests write it."""
    return f"{code:0{BITS // 4}x}"


class Ledger:
    """Every write gives its items their next version, deletes too; each item has one writer, one request at a time."""

    def __init__(self, items: int) -> None:
        self.numbers = np.arange(items, dtype=np.int64)
        self._lock = threading.Lock()
        self._begun = np.zeros(items, np.int64)
        self._done = State(np.zeros(items, np.int64), np.zeros(items, np.uint64), np.zeros(items, np.bool_))

    def begin(self, numbers: Numbers) -> Numbers:
        """The versions that a write is about to give."""
        with self._lock:
            self._begun[numbers] += 1
            return self._begun[numbers].copy()

    def acknowledge(self, numbers: Numbers, codes: NDArray[np.uint64] | None) -> None:
        """A reply says that it is done; `codes` None: they are deleted."""
        with self._lock:
            self._done.versions[numbers] = self._begun[numbers]
            self._done.there[numbers] = codes is not None
            if codes is not None:
                self._done.codes[numbers] = codes

    def done(self) -> State:
        """What was acknowledged by now."""
        with self._lock:
            return State(*(column.copy() for column in self._done))

    def begun(self) -> Numbers:
        """The highest versions that may be there by now."""
        with self._lock:
            return self._begun.copy()

    def items(self) -> dict[str, Value]:
        """All that has to be there when nobody writes."""
        versions, codes, there = self.done()
        return {
            name(number): Value(as_hex(code), payload(number, version, code))
            for number, version, code in zip(
                np.flatnonzero(there).tolist(), versions[there].tolist(), codes[there].tolist(), strict=True
            )
        }


class Reading:
    """One reader's replies: each is held against what was acknowledged before it, and begun by its end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = np.zeros(len(ledger.numbers), np.int64)
        self.before = ledger.done()

    def send(self) -> State:
        """A request is about to be sent; what was acknowledged by then."""
        self.before = self._ledger.done()
        return self.before

    def receive(self) -> "Span":
        """Its reply came."""
        return Span(self._ledger.numbers, self.before, self._ledger.begun(), self._seen)


@dataclass(frozen=True)
class Span:
    """From a request to its reply: what no write was at in between is `settled`, and known exactly."""

    numbers: Numbers
    before: State
    begun: Numbers
    seen: Numbers

    @property
    def settled(self) -> Mask:
        """Which items are known exactly."""
        return self.before.versions == self.begun

    def check_count(self, count: int) -> None:
        """So many items may be there."""
        sure = int(np.count_nonzero(self.settled & self.before.there))
        most = sure + int(np.count_nonzero(~self.settled))
        assert sure <= count <= most, f"expected {sure} to {most} items, found {count}"

    def check_item(self, number: int, status: int, found: dict[str, Any]) -> None:
        """An item, or that it is not there."""
        if status == 404:
            assert found["title"] == "Unknown item"
            assert not (self.settled[number] and self.before.there[number]), f"{name(number)} is gone"
            return
        assert (status, found["id"], found["code"]) == (200, name(number), found["payload"]["code"]), found
        self._check_payload(number, found["payload"])

    def check_matches(
        self,
        query: int,
        matches: Sequence[dict[str, Any]],
        limit: int,
        max_distance: int = BITS,
        condition: Filter | None = None,
        without: int | None = None,
    ) -> None:
        """The reply to a search for a code: right in itself, and complete."""
        found = [(match["distance"], int(match["id"].removeprefix(NAME))) for match in matches]
        assert found == sorted(set(found)) and len(found) <= limit, found
        for (distance, number), match in zip(found, matches, strict=True):
            assert match.keys() == {"id", "distance", "similarity", "payload"} and match["id"] == name(number), match
            # The code that was compared is the one of this very version.
            assert distance == (query ^ int(match["payload"]["code"], 16)).bit_count() <= max_distance, match
            assert match["similarity"] == round(1 - distance / BITS, 4) and number != without, match
            self._check_payload(number, match["payload"], condition)
        # Nothing that is known exactly is left out, unless by the limit.
        farthest = found[-1] if len(found) == limit else (max_distance, len(self.numbers))
        known = self._known(query, farthest, condition, without)
        found = [pair for pair in found if self.settled[pair[1]]]
        assert found == known, f"expected {known} among them, found {found}"

    def _known(
        self, query: int, farthest: tuple[int, int], condition: Filter | None, without: int | None
    ) -> list[tuple[int, int]]:
        """(distance, number) of what is known exactly and has to be found, up to the farthest."""
        distances = np.bitwise_count(self.before.codes ^ np.uint64(query))
        wanted = self.settled & self.before.there & (distances <= farthest[0])
        if condition is not None:
            wanted &= condition.lets_through(self.numbers, self.before.versions)
        if without is not None:
            wanted[without] = False
        pairs = zip(distances[wanted].tolist(), np.flatnonzero(wanted).tolist(), strict=True)
        return sorted(pair for pair in pairs if pair <= farthest)

    def _check_payload(self, number: int, found: Payload, condition: Filter | None = None) -> None:
        version = found["version"]
        assert found == payload(number, version, int(found["code"], 16)), f"{name(number)} has {found}"
        assert self.before.versions[number] <= version <= self.begun[number], f"{name(number)} at {version}"
        assert version >= self.seen[number], f"{name(number)} went back from {self.seen[number]} to {version}"
        self.seen[number] = version
        if self.settled[number]:
            expected = as_hex(int(self.before.codes[number])) if self.before.there[number] else "nothing"
            assert found["code"] == expected, f"expected {expected} of {name(number)}, found {found}"
        if condition is not None:
            assert condition.lets_through(np.array([number]), np.array([version]))[0], condition.condition

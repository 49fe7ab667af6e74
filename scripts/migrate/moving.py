"""Items from one collection to another, and whether both are the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from models.errors import HammingwayError, InvalidInputError
from scripts.migrate.digest import Digest, canonical
from scripts.migrate.merging import Pair, side_by_side
from service.client import Client, Item

Advance = Callable[[int], None]


class NotTheSameError(HammingwayError):
    """Two collections are not the same."""

    title = "Not the same"


@dataclass(frozen=True)
class Side:
    """A collection of a service, read by pages of so many items, of which `parts` are looked at."""

    client: Client
    name: str
    page_items: int
    parts: tuple[str, ...] = ("code", "payload")

    def items(self) -> Iterator[Item]:
        """All of them in the order of their ids."""
        return self.client.items(self.name, with_=self.parts, page_size=self.page_items)


def copy(source: Side, target: Side, advance: Advance) -> int:
    """Send what the target lacks or has otherwise, and say how many items that was.

    Raises InvalidInputError where the target has an item that the source has not, which stays, or rejects one.
    `advance` is told of each item of the source.
    """
    done = target.client.index_lines(target.name, _lacking(source, target, advance))
    if done.rejected:
        first = done.rejected[0].detail
        raise InvalidInputError(
            f"expected all to be taken, got {len(done.rejected)} items rejected; the first: {first}"
        )
    return done.indexed


def verify(source: Side, target: Side, advance: Advance) -> tuple[int, str]:
    """The number of items and their checksum, the same for both; raises NotTheSameError where they are not."""
    ours, theirs, first = Digest(), Digest(), None
    for one, other in _pairs(source, target, advance):
        for digest, item in ((ours, one), (theirs, other)):
            if item is not None:
                digest.add(item)
        if first is None and not _same(one, other):
            first = _id(one, other)
    if (ours.count, ours.hex) != (theirs.count, theirs.hex):
        raise NotTheSameError(
            f"expected {ours.count} items with checksum {ours.hex}, got {theirs.count} with {theirs.hex}; the first"
            f" that differs is {first!r}: if there were writes meanwhile, run it again"
        )
    return ours.count, ours.hex


def _lacking(source: Side, target: Side, advance: Advance) -> Iterator[dict[str, Any]]:
    for one, other in _pairs(source, target, advance):
        if one is None:
            raise InvalidInputError(
                f"expected in {target.name!r} only items that the source has, too, got {_id(one, other)!r}"
            )
        if not _same(one, other):
            given = {name: getattr(one, name) for name in ("id", "code", "payload", "features", "document")}
            yield {name: value for name, value in given.items() if value is not None}


def _pairs(source: Side, target: Side, advance: Advance) -> Iterator[Pair]:
    for one, other in side_by_side(source.items(), target.items()):
        yield one, other
        advance(one is not None)


def _same(one: Item | None, other: Item | None) -> bool:
    return one is not None and other is not None and canonical(one) == canonical(other)


def _id(one: Item | None, other: Item | None) -> str:
    known = one or other
    return "" if known is None else known.id

"""NDJSON bodies of any length: lines as they arrive, numbered from 1, imported in batches and bounded memory."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson
from pydantic import TypeAdapter, ValidationError

from models.errors import HammingwayError, InvalidInputError
from service import items
from service.coding.encoding import Going
from service.collections.collections import Collections
from service.described import kind
from service.errors import Fault, TooLargeError
from service.http.layers.held import Charge
from service.http.replies.problems import describe
from service.http.requests.body import CHARACTER_BYTES, ELEMENT_BYTES, parse_json
from service.http.schemas.documents import Item
from service.untold import untold

MEDIA_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
BATCH_LINES = 1000
BATCH_BYTES = 4 * 2**20
# Of lines that are parsed together: a value takes two bytes at least.
GROUP_BYTES = 2**16
_ITEMS = TypeAdapter(list[Item])


@dataclass(frozen=True)
class Batch:
    """Lines that follow each other in a body, without their ends; `first` is the number of the first.

    `too_long`: how long the one line is that was longer than allowed, and of which nothing was kept.
    """

    first: int
    lines: Sequence[bytes]
    too_long: int | None = None


@dataclass(frozen=True)
class Limits:
    """The longest line, in bytes, and the most values in one."""

    line_bytes: int
    values: int


class Watch(Protocol):
    """What is told how far a body has come."""

    def hold(self, count: int) -> None:
        """Count so many bytes as held, in place of what was counted before; may raise BusyError."""

    def line_ended(self) -> None:
        """A line that is not blank has come to its end."""


async def read_batches(chunks: AsyncIterable[bytes], longest: int, watch: Watch) -> AsyncIterator[Batch]:
    """The lines of a body, as many together as make one write worth its while; holds a batch, a line and a chunk.

    Nothing is done here for each line, as it is the event loop's time.
    """
    first, ends, too_long = 1, 0, 0
    held = bytearray()
    # Whether the line that has not ended yet is blank so far.
    blank = True
    async for chunk in chunks:
        end = chunk.rfind(b"\n")
        if end >= 0 and not (blank and _is_blank(chunk[:end])):
            watch.line_ended()
        blank = _is_blank(chunk[end + 1 :]) and (blank or end >= 0)
        if too_long:
            end = chunk.find(b"\n")
            if end < 0:
                too_long += len(chunk)
                continue
            yield Batch(first, [], too_long + end)
            first, too_long, chunk = first + 1, 0, chunk[end + 1 :]
        held += chunk
        watch.hold(len(held))
        ends += chunk.count(b"\n")
        while ends >= BATCH_LINES or (ends and len(held) >= BATCH_BYTES):
            *lines, rest = bytes(held).split(b"\n", BATCH_LINES)
            # What is held goes on to be counted until the batch is indexed.
            held[:] = rest
            yield Batch(first, lines)
            first, ends = first + len(lines), ends - len(lines)
            del lines
            watch.hold(len(held))
        # A carriage return at the end may belong to the end of the line.
        if not ends and len(held) - held.endswith(b"\r") > longest:
            too_long = len(held)
            held.clear()
            watch.hold(0)
    if too_long:
        yield Batch(first, [], too_long)
    elif held:
        yield Batch(first, bytes(held).removesuffix(b"\n").split(b"\n"))


def _is_blank(text: bytes) -> bool:
    return not text or text.isspace()


def index_batch(
    collections: Collections, name: str, batch: Batch, limits: Limits, charge: Charge, going: Going = untold
) -> tuple[int, dict[int, Fault]]:
    """Index the usable lines as one write; returns how many they are, and what is wrong with the others by number.

    What the lines become is held by `charge` meanwhile; raises BusyError. `going` is called before each document is
    encoded; what it raises ends the work.
    """
    characters = 1 if all(line.isascii() for line in batch.lines) else CHARACTER_BYTES
    taken = sum(map(len, batch.lines)) * characters + len(batch.lines) * ELEMENT_BYTES
    charge.add(taken)
    try:
        return _index(collections, name, batch, limits, going)
    finally:
        charge.add(-taken)


def _index(
    collections: Collections, name: str, batch: Batch, limits: Limits, going: Going
) -> tuple[int, dict[int, Fault]]:
    usable, faults = _parse(batch, limits)
    unusable = collections.upsert_usable(name, list(usable.values()), going)
    numbers = list(usable)
    for place, fault in unusable.items():
        number = numbers[place]
        faults[number] = Fault(f"line {number}", fault.status, fault.title, fault.detail)
    return len(usable) - len(unusable), dict(sorted(faults.items()))


def _parse(batch: Batch, limits: Limits) -> tuple[dict[int, items.Item], dict[int, Fault]]:
    """The items of all lines that are not blank, and what is wrong with the others, by number."""
    if batch.too_long is not None:
        return {}, {batch.first: _fault(batch.first, _too_long(limits.line_bytes, batch.too_long))}
    usable: dict[int, items.Item] = {}
    faults: dict[int, Fault] = {}
    for lines in _groups(batch):
        some, others = _parse_group(lines, limits)
        usable |= some
        faults |= others
    return usable, faults


def _groups(batch: Batch) -> Iterator[dict[int, bytes]]:
    """The lines that are not blank, by number, as many together as are parsed at once: what that makes is held."""
    group: dict[int, bytes] = {}
    size = 0
    for number, line in enumerate(batch.lines, batch.first):
        if not line or line.isspace():
            continue
        if group and size + len(line) > GROUP_BYTES:
            yield group
            group, size = {}, 0
        group[number] = line
        size += len(line)
    if group:
        yield group


def _parse_group(lines: Mapping[int, bytes], limits: Limits) -> tuple[dict[int, items.Item], dict[int, Fault]]:
    # One that is long stands alone, and its values are counted first.
    if all(len(line) <= min(GROUP_BYTES, limits.line_bytes) for line in lines.values()):
        try:
            # As if nothing were wrong, which is so nearly always: all at once takes less time than one by one.
            values = _ITEMS.validate_python([orjson.loads(line) for line in lines.values()])
            return {number: value.item() for number, value in zip(lines, values, strict=True)}, {}
        except (orjson.JSONDecodeError, ValidationError):
            pass
    return _parse_each(lines, limits)


def _parse_each(lines: Mapping[int, bytes], limits: Limits) -> tuple[dict[int, items.Item], dict[int, Fault]]:
    usable, faults = {}, {}
    for number, line in lines.items():
        try:
            usable[number] = _item(line, limits)
        except HammingwayError as error:
            faults[number] = _fault(number, error)
    return usable, faults


def _item(line: bytes, limits: Limits) -> items.Item:
    line = line.removesuffix(b"\r")
    if len(line) > limits.line_bytes:
        raise _too_long(limits.line_bytes, len(line))
    value = parse_json(line, limits.values)
    if not isinstance(value, dict):
        raise InvalidInputError(f"expected a JSON object, got {kind(value)}")
    try:
        return Item.model_validate(value).item()
    except ValidationError as error:
        fault = describe(error.errors()[0])
        where = "" if fault.where == "body" else f"{fault.where}: "
        raise InvalidInputError(f"{where}{fault.detail}") from None


def _too_long(longest: int, length: int) -> TooLargeError:
    return TooLargeError(f"expected a line of at most {longest} bytes, got {length}")


def _fault(number: int, error: HammingwayError) -> Fault:
    return Fault(f"line {number}", error.status, error.title, str(error))

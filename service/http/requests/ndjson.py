"""NDJSON bodies of any length: lines as they arrive, numbered from 1, imported in batches and bounded memory."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter, ValidationError

from models.errors import HammingwayError, InvalidInputError
from service import items
from service.coding.encoding import Going
from service.collections.collections import Collections
from service.described import kind
from service.errors import Fault, TooLargeError
from service.http.replies.problems import describe
from service.http.requests.body import parse_json
from service.http.schemas.documents import Item
from service.untold import untold

MEDIA_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
BATCH_LINES = 1000
BATCH_BYTES = 4 * 2**20
_ITEMS = TypeAdapter(list[Item])


@dataclass(frozen=True)
class Batch:
    """Lines that follow each other in a body, without their ends; `first` is the number of the first.

    `too_long`: how long the one line is that was longer than allowed, and of which nothing was kept.
    """

    first: int
    lines: Sequence[bytes]
    too_long: int | None = None


async def read_batches(chunks: AsyncIterable[bytes], longest: int) -> AsyncIterator[Batch]:
    """The lines of a body, as many together as make one write worth its while; holds a batch, a line and a chunk.

    Nothing is done here for each line, as it is the event loop's time.
    """
    first, ends, too_long = 1, 0, 0
    held = bytearray()
    async for chunk in chunks:
        if too_long:
            end = chunk.find(b"\n")
            if end < 0:
                too_long += len(chunk)
                continue
            yield Batch(first, [], too_long + end)
            first, too_long, chunk = first + 1, 0, chunk[end + 1 :]
        held += chunk
        ends += chunk.count(b"\n")
        while ends >= BATCH_LINES or (ends and len(held) >= BATCH_BYTES):
            *lines, rest = bytes(held).split(b"\n", BATCH_LINES)
            held[:] = rest
            yield Batch(first, lines)
            first, ends = first + len(lines), ends - len(lines)
        if not ends and len(held) > longest:
            too_long = len(held)
            held.clear()
    if too_long:
        yield Batch(first, [], too_long)
    elif held:
        yield Batch(first, bytes(held).removesuffix(b"\n").split(b"\n"))


def index_batch(
    collections: Collections, name: str, batch: Batch, longest: int, going: Going = untold
) -> tuple[int, dict[int, Fault]]:
    """Index the usable lines as one write; returns how many they are, and what is wrong with the others by number.

    `going` is called before each document is encoded; what it raises ends the work.
    """
    usable, faults = _parse(batch, longest)
    unusable = collections.upsert_usable(name, list(usable.values()), going)
    numbers = list(usable)
    for place, fault in unusable.items():
        number = numbers[place]
        faults[number] = Fault(f"line {number}", fault.status, fault.title, fault.detail)
    return len(usable) - len(unusable), dict(sorted(faults.items()))


def _parse(batch: Batch, longest: int) -> tuple[dict[int, items.Item], dict[int, Fault]]:
    """The items of all lines that are not blank, and what is wrong with the others, by number."""
    if batch.too_long is not None:
        return {}, {batch.first: _fault(batch.first, _too_long(longest, batch.too_long))}
    lines = {number: line for number, line in enumerate(batch.lines, batch.first) if line.strip()}
    if all(len(line) <= longest for line in lines.values()):
        try:
            # As if nothing were wrong, which is so nearly always: all at once takes less time than one by one.
            values = _ITEMS.validate_python([orjson.loads(line) for line in lines.values()])
            return {number: value.item() for number, value in zip(lines, values, strict=True)}, {}
        except (orjson.JSONDecodeError, ValidationError):
            pass
    return _parse_each(lines, longest)


def _parse_each(lines: Mapping[int, bytes], longest: int) -> tuple[dict[int, items.Item], dict[int, Fault]]:
    usable, faults = {}, {}
    for number, line in lines.items():
        try:
            usable[number] = _item(line, longest)
        except HammingwayError as error:
            faults[number] = _fault(number, error)
    return usable, faults


def _item(line: bytes, longest: int) -> items.Item:
    if len(line) > longest:
        raise _too_long(longest, len(line))
    value = parse_json(line)
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

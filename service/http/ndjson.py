"""NDJSON bodies of any length: lines as they arrive, numbered from 1, imported in batches and bounded memory."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from models.errors import HammingwayError, InvalidInputError
from service import items
from service.collections import Collections
from service.errors import Fault, TooLargeError
from service.http.body import parse_json
from service.http.problems import describe
from service.http.schemas.documents import Item

MEDIA_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines")
BATCH_LINES = 1000
BATCH_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Line:
    """A line of the body, without its end; `content` is None where it is longer than allowed."""

    number: int
    length: int
    content: bytes | None


async def read_lines(chunks: AsyncIterable[bytes], longest: int) -> AsyncIterator[Line]:
    """The lines of a body that are not blank; holds at most one and a chunk, only counts what is beyond `longest`."""
    number, length = 1, 0
    held: list[bytes] = []

    def blank() -> bool:
        return length <= longest and not any(part.strip() for part in held)

    def line() -> Line:
        return Line(number, length, b"".join(held) if length <= longest else None)

    async for chunk in chunks:
        for place, part in enumerate(chunk.split(b"\n")):
            if place:
                if length and not blank():
                    yield line()
                number, length = number + 1, 0
                held.clear()
            if not part:
                continue
            length += len(part)
            if length <= longest:
                held.append(part)
            else:
                held.clear()
    if length and not blank():
        yield line()


async def read_batches(lines: AsyncIterable[Line]) -> AsyncIterator[list[Line]]:
    """Lines, as many together as make one write worth its while."""
    batch: list[Line] = []
    size = 0
    async for line in lines:
        batch.append(line)
        size += len(line.content or b"")
        if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def index_batch(
    collections: Collections, name: str, lines: Iterable[Line], longest: int
) -> tuple[int, dict[int, Fault]]:
    """Index the usable lines as one write; returns how many they are, and what is wrong with the others by number."""
    usable: list[items.Item] = []
    numbers: list[int] = []
    faults: dict[int, Fault] = {}
    for line in lines:
        try:
            usable.append(_parse(line, longest))
            numbers.append(line.number)
        except HammingwayError as error:
            faults[line.number] = Fault(f"line {line.number}", error.status, error.title, str(error))
    unusable = collections.upsert_usable(name, usable)
    for place, fault in unusable.items():
        number = numbers[place]
        faults[number] = Fault(f"line {number}", fault.status, fault.title, fault.detail)
    return len(usable) - len(unusable), dict(sorted(faults.items()))


def _parse(line: Line, longest: int) -> items.Item:
    if line.content is None:
        raise TooLargeError(f"expected a line of at most {longest} bytes, got {line.length}")
    value = parse_json(line.content)
    if not isinstance(value, dict):
        raise InvalidInputError(f"expected a JSON object, got {type(value).__name__}")
    try:
        return Item.model_validate(value).item()
    except ValidationError as error:
        fault = describe(error.errors()[0])
        where = "" if fault.where == "body" else f"{fault.where}: "
        raise InvalidInputError(f"{where}{fault.detail}") from None

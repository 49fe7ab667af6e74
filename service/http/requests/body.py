"""Bodies: read with a bound, parsed strictly and part by part, described in the API document."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from models.errors import InvalidInputError
from service.described import kind
from service.errors import InvalidJsonError, TooLargeError
from service.http.layers.held import Charge, charge_of
from service.http.replies.reply import JSON
from service.http.requests import structure
from service.http.requests.faults import Faults
from service.http.requests.inflating import Bound, inflated
from service.http.requests.structure import Member, Span

M = TypeVar("M", bound=BaseModel)
# Parsed and validated at once, by a thread that holds the interpreter's lock meanwhile: 5 ms.
VALUES_AT_ONCE = 20_000
BYTES_AT_ONCE = 2**20
# A text of so few bytes is not counted when it is parsed: less than what a request takes anyway.
UNCOUNTED_BYTES = 2**16
# Estimates of what a parsed text takes. A value of an object in Python, with its name; a number in an array; an element
# of a list that was validated; a character of a string, where one of them is not ASCII.
VALUE_BYTES = 128
NUMBER_BYTES = 8
ELEMENT_BYTES = 1024
CHARACTER_BYTES = 4
# Long strings are copied while the lock is held: by one thread at a time, so that the event loop has its turn between.
_LONG_STRINGS = Lock()


class Body:
    """The bytes of a request's body, with what it may hold; `most` is how many values one part of it may have."""

    def __init__(self, content: bytes, charge: Charge, most: int) -> None:
        self.content = content
        self.most = most
        self._charge = charge
        self._parsed = 0

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.content)

    def emptied(self) -> "Body":
        """The same without its bytes, where no more is read of them; what it holds is counted until the reply."""
        return Body(b"", self._charge, self.most)

    def hold_parsed(self, count: int) -> None:
        """Count what the body has become, in place of what was counted before; raises BusyError."""
        self._charge.add(count - self._parsed)
        self._parsed = count


async def read(request: Request, max_bytes: int) -> Body:
    """The whole body, inflated; raises TooLargeError as soon as it is known to be more than `max_bytes`.

    Raises BusyError where the bodies of all requests are too much together.
    """
    charge = charge_of(request.scope)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLargeError(f"expected a body of at most {max_bytes} bytes, got {declared}")
    body = bytearray()
    async for chunk in inflated(request, Bound(max_bytes)):
        charge.add(len(chunk))
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"expected a body of at most {max_bytes} bytes, got more")
    return Body(bytes(body), charge, request.state.service.settings.max_values)


def parse_json(text: bytes, most: int = VALUES_AT_ONCE) -> Any:
    """The value of a JSON text, a byte order mark before it or not; raises InvalidJsonError that says where.

    Raises TooLargeError for more than `most` values.
    """
    # As Windows' editors and shells write it, and RFC 8259 lets a reader pass over it.
    text = text.removeprefix(BOM_UTF8)
    return _parse_counted(text, most, structure.at_most_values(text))


def _parse_counted(text: bytes, most: int, at_most: int) -> Any:
    if at_most > min(most, VALUES_AT_ONCE):
        structure.count_values(text, most)
    try:
        return _loads(text)
    except orjson.JSONDecodeError as error:
        if not text.strip():
            raise InvalidJsonError("expected JSON, got nothing") from None
        raise InvalidJsonError(f"expected JSON: {error}{_hint(text)}") from None


def _loads(text: bytes | memoryview) -> Any:
    if len(text) <= BYTES_AT_ONCE:
        return orjson.loads(text)
    with _LONG_STRINGS:
        return orjson.loads(text)


def parse(model: type[M], body: Body, **most: int) -> M:
    """A request's model; raises InvalidJsonError, or FaultsError that names the parts that cannot be used.

    `most` bounds the lists of the request by name. They are counted before anything in them is looked at. A body with
    many values is parsed and validated part by part: an element of one of these lists, or all the rest, may have at
    most `body.most` values. What it becomes is counted among what all requests hold; raises BusyError.
    """
    text = body.content.removeprefix(BOM_UTF8)
    values = structure.at_most_values(text)
    if values > VALUES_AT_ONCE and (found := _members(text, body, values, most)) is not None:
        return _by_parts(model, text, found)
    if len(text) > UNCOUNTED_BYTES:
        body.hold_parsed(_text_bytes(text) + min(values, body.most) * VALUE_BYTES)
    return validate(model, _parse_counted(text, body.most, values), **most)


def _members(text: bytes, body: Body, values: int, most: dict[str, int]) -> list[Member] | None:
    try:
        found = structure.members(text, most, body.most)
    except InvalidJsonError as error:
        raise InvalidJsonError(f"{error}{_hint(text)}") from None
    if found is not None:
        elements = sum(len(member.elements or ()) for member in found)
        at_once = min(values, 2 * body.most + VALUES_AT_ONCE)
        taken = values * NUMBER_BYTES + at_once * VALUE_BYTES + elements * ELEMENT_BYTES
        body.hold_parsed(_text_bytes(text) + taken)
    return found


def _text_bytes(text: bytes) -> int:
    return len(text) * (1 if text.isascii() else CHARACTER_BYTES)


def validate(model: type[M], value: Any, **most: int) -> M:
    """A request's model from what its body says, as `parse`."""
    if isinstance(value, dict):
        for noun, number in most.items():
            given = value.get(noun)
            if isinstance(given, list) and len(given) > number:
                raise TooLargeError(f"expected at most {number} {noun} in one request, got {len(given)}")
    faults = Faults()
    try:
        return model.model_validate(value, context=faults)
    except ValidationError as error:
        faults.add(error)
        raise faults.error() from None


def _by_parts(model: type[M], text: bytes, found: Sequence[Member]) -> M:
    """A model of which every list is validated by groups of elements, and then the whole, with what these became."""
    faults = Faults()
    value: dict[str, Any] = {}
    # Of a name that is there twice the last counts; the others have to be JSON all the same.
    last = {member.name: number for number, member in enumerate(found)}
    for number, member in enumerate(found):
        if member.elements is None:
            value[member.name] = _part(text, member.span)
            continue
        adapter, first = _list_of(model, member.name), 0
        value[member.name] = made = []
        for group in _groups(member.elements):
            given = _list(text, group)
            if number == last[member.name]:
                try:
                    made += adapter.validate_python(given, context=faults)
                except ValidationError as error:
                    faults.add(error, (member.name,), first)
            first += len(group)
    try:
        made_of_all = model.model_validate(value, context=faults)
    except ValidationError as error:
        faults.add(error)
    if faults:
        raise faults.error()
    return made_of_all


def parse_members(text: bytes, most: int, most_members: int) -> Iterator[tuple[str, Any]]:
    """The members of the object that a JSON text is, each parsed when its turn comes; errors as of `parse_json`.

    Each may have at most `most` values. Raises InvalidInputError where the text is no object.
    """
    text = text.removeprefix(BOM_UTF8)
    found = None
    if structure.at_most_values(text) > VALUES_AT_ONCE:
        found = structure.members(text, {}, most, together=False)
    if found is None:
        value = parse_json(text, most)
        if not isinstance(value, dict):
            raise InvalidInputError(f"expected a JSON object, got {kind(value)}")
        yield from value.items()
        return
    if len(found) > most_members:
        raise TooLargeError(f"expected at most {most_members} members, got {len(found)}")
    for member in found:
        yield member.name, _part(text, member.span)


def _part(text: bytes, span: Span) -> Any:
    try:
        return _loads(memoryview(text)[span.start : span.end])
    except orjson.JSONDecodeError as error:
        told = structure.misplaced(text, span.start, error)
        raise InvalidJsonError(f"{told}{_hint(text)}") from None


def _list(text: bytes, elements: Sequence[Span]) -> list[Any]:
    """Elements that follow each other."""
    start, end = elements[0].start, elements[-1].end
    if len(elements) == 1:
        return [_part(text, elements[0])]
    try:
        given: list[Any] = orjson.loads(b"[%b]" % text[start:end])
    except orjson.JSONDecodeError as error:
        # One bracket was put before them.
        told = structure.misplaced(text, start - 1, error)
        raise InvalidJsonError(f"{told}{_hint(text)}") from None
    return given


@lru_cache
def _list_of(model: type[BaseModel], name: str) -> TypeAdapter[list[Any]]:
    fields = {field.alias or known: field for known, field in model.model_fields.items()}
    adapter: TypeAdapter[list[Any]] = TypeAdapter(fields[name].annotation)  # type: ignore[arg-type]
    return adapter


def _groups(elements: Sequence[Span]) -> Iterator[list[Span]]:
    """Elements that follow each other, of as many values and bytes together as are parsed at once, or one."""
    group: list[Span] = []
    values = 0
    for element in elements:
        full = values + element.values > VALUES_AT_ONCE or (group and element.end - group[0].start > BYTES_AT_ONCE)
        if group and full:
            yield group
            group, values = [], 0
        group.append(element)
        values += element.values
    if group:
        yield group


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The API document's entry for a body that is read by `parse`; `openapi.REQUESTS` lists the models."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


# What begins so is never JSON, and what it is instead.
_BEGINNINGS = {
    b"--": "multipart is taken to index images and to search by one, with its Content-Type",
    b"\x1f\x8b": "gzip needs its Content-Encoding",
    b"\x28\xb5\x2f\xfd": "zstd needs its Content-Encoding",
    BOM_UTF16_LE: "UTF-16 is not JSON, UTF-8 is",
    BOM_UTF16_BE: "UTF-16 is not JSON, UTF-8 is",
}


def _hint(text: bytes) -> str:
    """What was meant, where that shows."""
    for beginning, told in _BEGINNINGS.items():
        if text.startswith(beginning):
            return f" ({told})"
    if b"NaN" in text or b"Infinity" in text:
        return " (NaN and Infinity are not JSON: vectors hold finite numbers)"
    return ""

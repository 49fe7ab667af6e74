"""Uploads as multipart/form-data (RFC 7578): images as they are, without the third that base64 adds.

Parsed in memory, in the thread that does the work, from a body that is bounded already: no temporary files.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from models.errors import HammingwayError, InvalidInputError
from service.described import kind
from service.errors import Fault, FaultsError, InvalidMultipartError, TooLargeError
from service.http.requests.body import VALUE_BYTES, Body, parse_json, parse_members

MEDIA_TYPE = "multipart/form-data"
PAYLOADS = "payloads"
IMAGE = "image"
REQUEST = "request"
# Of a name, in a place.
MOST_SHOWN = 80
LONGEST_CONTENT_TYPE = 1024
# Boundaries in a body beyond those of its parts. The parser takes 4 microseconds for each; an attack has millions.
MORE_BOUNDARIES = 1000
_ITEM = re.compile(r"items/(?P<number>\d+)(?P<part>/.*)?", re.DOTALL)
# A whole GIF, of one pixel, whose bytes are all ASCII: so it can stand in JSON as it is.
IMAGE_EXAMPLE = "GIF87a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
TAKES_ITEMS = {
    "schema": {
        "type": "object",
        "description": f"each part is an image, named by its item's id; but for one, `{PAYLOADS}`",
        "properties": {
            PAYLOADS: {
                "type": "object",
                "description": "JSON: payloads by id",
                "additionalProperties": {"type": "object"},
            }
        },
        "additionalProperties": {"type": "string", "contentMediaType": "application/octet-stream"},
    },
    "encoding": {PAYLOADS: {"contentType": "application/json"}},
    "example": {"shoe-1": IMAGE_EXAMPLE, PAYLOADS: {"shoe-1": {"price": 30}}},
}
TAKES_SEARCH = {
    "schema": {
        "type": "object",
        "properties": {
            IMAGE: {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "description": "what to look for: PNG, JPEG, WebP, GIF, BMP or TIFF",
            },
            REQUEST: {"type": "object", "description": "JSON: a search without `query`", "examples": [{"limit": 5}]},
        },
        "required": [IMAGE],
        "additionalProperties": False,
    },
    "encoding": {REQUEST: {"contentType": "application/json"}},
    "example": {IMAGE: IMAGE_EXAMPLE, REQUEST: {"limit": 5}},
}


@dataclass
class Part:
    """A part by its field's name; a file's own name and type are not looked at."""

    name: str
    content: bytes


def boundary(request: Request) -> bytes | None:
    """What divides the parts of a body; None where it is no multipart/form-data."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != MEDIA_TYPE:
        return None
    if len(content_type) > LONGEST_CONTENT_TYPE:
        # Taken apart in a time that grows with its square.
        came = f"one of {len(content_type)}"
        raise InvalidMultipartError(f"expected a Content-Type of at most {LONGEST_CONTENT_TYPE} characters, got {came}")
    _, options = parse_options_header(content_type)
    if not (found := options.get(b"boundary")):
        raise InvalidMultipartError(f"expected {MEDIA_TYPE} with its boundary, got a Content-Type without one")
    return found


def items(body: Body, divider: bytes, most: int) -> dict[str, Any]:
    """A request to index: each part is an image named by its item's id, `payloads` an object of payloads by id."""
    given = _parts(body, divider, most + 1)
    payloads = dict(_payloads(given, body.most, most))
    images = [part for part in given if part.name != PAYLOADS]
    if len(images) > most:
        raise TooLargeError(f"expected at most {most} items in one request, got {len(images)}")
    if unknown := payloads.keys() - {part.name for part in images}:
        first = min(unknown)
        detail = f"expected payloads of images that are parts of the body, got one for {first[:80]!r}"
        raise FaultsError("nothing was indexed", [_fault(PAYLOADS, detail)])
    return {"items": [_item(part, payloads) for part in images]}


def search(body: Body, divider: bytes) -> dict[str, Any]:
    """A search: the part `image` is its query, `request` the rest of it as JSON."""
    given = _parts(body, divider, 2)
    for part in given:
        if part.name not in (IMAGE, REQUEST):
            raise FaultsError(None, [_fault("body", f"expected parts image and request, got {part.name[:80]!r}")])
    images = [part.content for part in given if part.name == IMAGE]
    if len(images) != 1:
        raise FaultsError(None, [_fault(IMAGE, f"expected one part of this name, got {len(images)}")])
    request = _request(given, body.most)
    if both := request.keys() & {"query", "queries"}:
        raise FaultsError(None, [_fault(f"{REQUEST}/{min(both)}", "expected the image as the query, got both")])
    return {**request, "query": {"image": images[0]}}


def items_placed(error: FaultsError, given: dict[str, Any]) -> FaultsError:
    """An error of what `items` gave, by the names of the parts: `parts/shoe-1`, `payloads/shoe-1/price`."""
    names = [str(item["id"])[:MOST_SHOWN] for item in given["items"]]

    def place(where: str) -> str:
        found = _ITEM.fullmatch(where)
        if found is None:
            return where
        part, name = found["part"] or "", names[int(found["number"])]
        return f"{PAYLOADS}/{name}{part.removeprefix('/payload')}" if part.startswith("/payload") else f"parts/{name}"

    return error.placed(place)


def search_placed(error: InvalidInputError) -> InvalidInputError:
    """An error of what `search` gave, by the names of the parts: `image`, `request/limit`."""
    if isinstance(error, FaultsError):
        return error.placed(_in_search)
    return error if error.where is None else InvalidInputError(error.detail, _in_search(error.where))


def _in_search(where: str) -> str:
    if where.partition("/")[0] in (IMAGE, REQUEST, "body"):
        return where
    return IMAGE if where.partition("/")[0] == "query" else f"{REQUEST}/{where}"


def _parts(body: Body, divider: bytes, most: int) -> list[Part]:
    # They are copies. What JSON becomes is held for one payload at a time.
    body.hold_parsed(len(body.content) + body.most * VALUE_BYTES)
    return parts(body.content, divider, most)


def parts(body: bytes, divider: bytes, most: int) -> list[Part]:
    """The parts in their order; raises InvalidMultipartError, and TooLargeError where they are more than `most`."""
    if body.count(b"\r\n--" + divider) > most + MORE_BOUNDARIES:
        raise TooLargeError(f"expected at most {most} parts, got more boundaries")
    reading = _Reading(most)
    try:
        parser = MultipartParser(
            divider,
            {
                "on_part_begin": reading.begin,
                "on_header_field": reading.header_name,
                "on_header_value": reading.header_value,
                "on_header_end": reading.header_end,
                "on_headers_finished": reading.named,
                "on_part_data": reading.data,
                "on_part_end": reading.end,
                "on_end": reading.last,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise InvalidMultipartError(f"expected {MEDIA_TYPE}: {error}") from None
    if not reading.ended:
        came = f"{len(body)} bytes that break off after {len(reading.found)} whole parts" if body else "nothing"
        raise InvalidMultipartError(f"expected {MEDIA_TYPE} up to its last boundary, got {came}")
    return reading.found


@dataclass
class _Reading:
    """What the parser has told so far."""

    most: int
    found: list[Part] = field(default_factory=list)
    ended: bool = False
    _name: bytes = b""
    _value: bytes = b""
    _disposition: bytes | None = None
    _part: str = ""
    _content: list[memoryview] = field(default_factory=list)

    def begin(self) -> None:
        if len(self.found) == self.most:
            raise TooLargeError(f"expected at most {self.most} parts, got more")
        self._disposition = None
        self._content = []

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def named(self) -> None:
        _, options = parse_options_header(self._disposition)
        place = f"part {len(self.found) + 1}"
        if b"name" not in options:
            raise InvalidMultipartError(f"{place}: expected a Content-Disposition with a name, got none")
        try:
            # A quotation mark is written so by browsers, curl and httpx.
            self._part = options[b"name"].decode().replace("%22", '"')
        except UnicodeDecodeError:
            raise InvalidMultipartError(f"{place}: expected a name in UTF-8, got {options[b'name'][:80]!r}") from None

    def data(self, data: bytes, start: int, end: int) -> None:
        self._content.append(memoryview(data)[start:end])

    def end(self) -> None:
        self.found.append(Part(self._part, b"".join(self._content)))

    def last(self) -> None:
        self.ended = True


def _item(part: Part, payloads: dict[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = {"id": part.name, "image": part.content}
    if part.name in payloads:
        item["payload"] = payloads[part.name]
    return item


def _payloads(given: list[Part], most_values: int, most: int) -> Iterator[tuple[str, Any]]:
    """Payloads by id, each as JSON by the time that the next one is parsed; what is no object stays as it is."""
    try:
        for name, value in parse_members(_one(given, PAYLOADS), most_values, most):
            yield name, _packed(value)
    except HammingwayError as error:
        raise _in_part(PAYLOADS, error) from None


def _packed(value: Any) -> Any:
    if isinstance(value, dict):
        # What is nested too deeply is refused when it is validated.
        with suppress(orjson.JSONEncodeError):
            return orjson.dumps(value)
    return value


def _request(given: list[Part], most_values: int) -> dict[str, Any]:
    try:
        value = parse_json(_one(given, REQUEST), most_values)
    except HammingwayError as error:
        raise _in_part(REQUEST, error) from None
    if not isinstance(value, dict):
        raise FaultsError(None, [_fault(REQUEST, f"expected a JSON object, got {kind(value)}")])
    return value


def _one(given: list[Part], name: str) -> bytes:
    """The only part of a name, an empty object where there is none."""
    texts = [part.content for part in given if part.name == name]
    if len(texts) > 1:
        raise FaultsError(None, [_fault(name, f"expected one part of this name, got {len(texts)}")])
    return texts[0] if texts else b"{}"


def _in_part(name: str, error: HammingwayError) -> FaultsError:
    return (
        error
        if isinstance(error, FaultsError)
        else FaultsError(None, [Fault(name, error.status, error.title, error.detail)])
    )


def _fault(where: str, detail: str) -> Fault:
    return Fault(where, FaultsError.status, "Invalid input", detail)

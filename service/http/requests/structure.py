"""The structure of a JSON text, found without parsing it: how much is in it, and where the elements of its lists are.

A parser holds the interpreter's lock until it is done, and makes up to 90 bytes of objects of 3 bytes of text. So a
text with many values is looked through first, a piece at a time, and then parsed a part at a time. What this finds is
right up to the first mistake in the text, and a parser stops there, too: every byte between the spans given here is
white space, and every span is parsed by whoever asks for them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.errors import InvalidJsonError, TooLargeError

# Looked through in one step: a millisecond of one thread, and 2 MiB of arrays.
STEP_BYTES = 2**16
# The parser's own bound.
MOST_LEVELS = 1024
COUNTED_BYTES = 2**20
_OF_NO_VALUE = bytes(set(range(256)) - set(b",[{"))
_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COMMA, _COLON = 1, 2, 3, 4, 5, 6
# By character, 0 for all others.
_KINDS = bytes(
    {
        '"': _QUOTE,
        "\\": _BACKSLASH,
        "[": _OPEN,
        "{": _OPEN,
        "]": _CLOSE,
        "}": _CLOSE,
        ",": _COMMA,
        ":": _COLON,
    }.get(chr(character), 0)
    for character in range(256)
)
_WHITE = b" \t\r\n"
# The bytes of UTF-8 that go on with a character.
_CONTINUATION = bytes(range(0x80, 0xC0))


def at_most_values(text: bytes) -> int:
    """A bound on the values in a JSON text, in a fraction of the time that it takes to count them."""
    # In two fifths of the time of three times `count`.
    return 1 + sum(
        len(text[start : start + COUNTED_BYTES].translate(None, _OF_NO_VALUE))
        for start in range(0, len(text), COUNTED_BYTES)
    )


class Span(NamedTuple):
    """A part of a text; `values` counts the values in it, those in lists and objects included."""

    start: int
    end: int
    values: int


@dataclass(frozen=True)
class Member:
    """A member of the outermost object; of a list that was asked for, its elements."""

    name: str
    span: Span
    elements: Sequence[Span] | None = None


class _Marks(NamedTuple):
    """The characters `[]{},:` of a text that are outside of its strings, in their order.

    `levels` counts the containers that each is in, and the one that it opens or closes; `counts` is how many values
    begin up to there.
    """

    places: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    levels: NDArray[np.int64]
    counts: NDArray[np.int64]

    def only(self, chosen: NDArray[Any]) -> "_Marks":
        return _Marks(*(part[chosen] for part in self))


def count_values(text: bytes, most: int) -> int:
    """How many values a JSON text has; raises TooLargeError as soon as they are more than `most`."""
    count = 1
    for marks in _marks(text):
        count = 1 + int(marks.counts[-1])
        if count > most:
            raise too_many(most)
    return count


def too_many(most: int, where: str = "") -> TooLargeError:
    """The error for a part of a body with too many values."""
    place = f" in {where}" if where else ""
    return TooLargeError(f"expected at most {most} values{place}, each number, text, list and object counted, got more")


def members(text: bytes, lists: Mapping[str, int], most: int, together: bool = True) -> list[Member] | None:
    """The members of the object that a JSON text is, in their order; None where it is no object.

    `lists` names members whose elements are found, if they are lists, and the most elements that they may have. Raises
    TooLargeError for more than `most` values in one of these elements, or in all the rest (unless `together`: in one
    other member), and InvalidJsonError where the text does not end with its object. Names may come twice.
    """
    start = _skip(text, 0)
    if text[start : start + 1] != b"{":
        return None
    top, inner = _outline(text, lists, most)
    ends = np.flatnonzero(top.kinds != _COLON)[1:]
    last = int(top.places[-1])
    if text[last : last + 1] != b"}":
        raise invalid(text, last, "expected the end of an object")
    rest = _skip(text, last + 1)
    if rest < len(text):
        raise invalid(text, rest, "unexpected content after document")
    found: list[Member] = []
    if len(ends) == 1 and _skip(text, start + 1) == last:
        return found
    before, others = start + 1, 0
    # Of a member there are its colon and the comma or brace after it.
    places, kinds, counts = top.places.tolist(), top.kinds.tolist(), top.counts.tolist()
    for end in ends.tolist():
        if kinds[end - 1] != _COLON or (end > 1 and kinds[end - 2] == _COLON):
            raise invalid(text, places[end], "expected a name and a value")
        colon, stop = places[end - 1], places[end]
        name = _name(text, before, colon)
        span = Span(colon + 1, stop, counts[end] - counts[end - 1])
        elements = _elements(text, span, name, inner, most) if name in lists else None
        if elements is None:
            others = others + span.values if together else span.values
        elif len(elements) > lists[name]:
            raise TooLargeError(f"expected at most {lists[name]} {name} in one request, got {len(elements)}")
        if others > most:
            raise too_many(most)
        found.append(Member(name, span, elements))
        before = stop + 1
    return found


def _outline(text: bytes, lists: Mapping[str, int], most: int) -> tuple[_Marks, _Marks]:
    """The marks of the outermost object, and those of what is directly in its members."""
    tops: list[_Marks] = []
    inners: list[_Marks] = []
    kept = 0
    allowed = 2 * most + 2 * sum(lists.values())
    latest = 0
    steps = _marks(text)
    for marks in steps:
        outer = marks.levels <= (2 if lists else 1)
        near = marks.only(outer)
        tops.append(near.only(near.levels == 1))
        inners.append(near.only(near.levels == 2))
        kept += len(near.places)
        latest = int(near.counts[-1]) if len(near.counts) else latest
        if kept > allowed or int(marks.counts[-1]) - latest > most:
            # Either of too many elements, or too much in one: told by the list that it is in.
            raise _too_much(text, steps, _joined(tops), _joined(inners), lists, most, kept > allowed)
    if not tops:
        raise invalid(text, len(text), "unexpected end of data")
    return _joined(tops), _joined(inners)


def _too_much(
    text: bytes,
    rest: Iterator[_Marks],
    top: _Marks,
    inner: _Marks,
    lists: Mapping[str, int],
    most: int,
    elements: bool,
) -> TooLargeError:
    """The error for what was looked through so far, by the member that it ends in."""
    if len(top.kinds) < 2 or top.kinds[-1] != _COLON:
        return too_many(most)
    colon = int(top.places[-1])
    name = _name(text, int(top.places[-2]) + 1, colon)
    if name not in lists:
        return too_many(most)
    if not elements:
        return too_many(most, f"one of {name}")
    count = 1 + int(np.count_nonzero(inner.kinds[inner.places > colon] == _COMMA))
    for marks in rest:
        ends = np.flatnonzero(marks.levels == 1)
        end = int(ends[0]) if len(ends) else len(marks.levels)
        count += int(np.count_nonzero((marks.levels[:end] == 2) & (marks.kinds[:end] == _COMMA)))
        if len(ends):
            break
    return TooLargeError(f"expected at most {lists[name]} {name} in one request, got {count}")


def _joined(parts: Sequence[_Marks]) -> _Marks:
    return _Marks(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _elements(text: bytes, span: Span, name: str, inner: _Marks, most: int) -> list[Span] | None:
    """The elements of a list; None of what is none."""
    first, after = np.searchsorted(inner.places, (span.start, span.end)).tolist()
    start = _skip(text, span.start)
    if text[start : start + 1] != b"[":
        return None
    kinds = inner.kinds[first:after]
    if after - first < 2 or kinds[0] != _OPEN or kinds[-1] != _CLOSE or (kinds[1:-1] != _COMMA).any():
        return None
    places = inner.places[first:after].tolist()
    if text[places[-1] : places[-1] + 1] != b"]" or _skip(text, places[-1] + 1) != span.end:
        return None
    if len(places) == 2 and _skip(text, places[0] + 1) == places[1]:
        return []
    counts = inner.counts[first:after].tolist()
    # The last one is not followed by a comma, which counts as the value after it.
    counts[-1] += 1
    found = [
        Span(places[number - 1] + 1, places[number], counts[number] - counts[number - 1])
        for number in range(1, len(places))
    ]
    for number, element in enumerate(found):
        if element.values > most:
            raise too_many(most, f"{name}/{number}")
    return found


def _marks(text: bytes) -> Iterator[_Marks]:
    """The marks of a text, step by step, those without any left out; raises InvalidJsonError where it breaks off."""
    inside, escaped, level, count = 0, False, 0, 0
    for base in range(0, len(text), STEP_BYTES):
        # Both three times as fast as `_KINDS[step]` and the places of what is not zero in it.
        kinds = np.frombuffer(text[base : base + STEP_BYTES].translate(_KINDS), np.uint8)
        places = np.flatnonzero(kinds != 0)
        if not len(places):
            # A long string.
            escaped = False
            continue
        found = kinds[places]
        quotes = found == _QUOTE
        ignored, escaped = _escaped(places[found == _BACKSLASH], len(kinds), escaped)
        if ignored is not None:
            quotes &= ~ignored[places]
        within = (np.cumsum(quotes) + inside) & 1
        inside = int(within[-1])
        outside = (found >= _OPEN) & (within == 0)
        found, places = found[outside], places[outside]
        if not len(places):
            continue
        opens, closes = found == _OPEN, found == _CLOSE
        levels = np.cumsum(opens.astype(np.int64) - closes) + level
        level = int(levels[-1])
        levels += closes
        if int(levels.min()) < 1:
            raise invalid(text, base + int(places[np.argmax(levels < 1)]), "unexpected character")
        if int(levels.max()) > MOST_LEVELS:
            raise invalid(text, base + int(places[np.argmax(levels > MOST_LEVELS)]), "depth limit exceeded")
        counts = np.cumsum(opens | (found == _COMMA)) + count
        count = int(counts[-1])
        yield _Marks(places + base, found, levels, counts)
    if inside or level:
        raise invalid(text, len(text), "unexpected end of data")


def _escaped(backslashes: NDArray[np.intp], size: int, before: bool) -> tuple[NDArray[np.bool_] | None, bool]:
    """Which characters of a step are escaped by the backslash before them, and whether the one after the step is."""
    if not len(backslashes) and not before:
        return None, False
    escaped = np.zeros(size + 1, np.bool_)
    escaped[0] = before
    if len(backslashes):
        # Of several in a row every second one is escaped itself.
        first = np.flatnonzero(np.diff(backslashes, prepend=-2) != 1)
        starts = backslashes[first]
        lasts = backslashes[np.append(first[1:], len(backslashes)) - 1]
        lengths = lasts - starts + 1
        if before and starts[0] == 0:
            lengths[0] -= 1
        escaped[lasts + 1] |= lengths % 2 == 1
    return escaped, bool(escaped[size])


def _skip(text: bytes, start: int) -> int:
    """Where the white space from a place on ends."""
    while text[start : start + 1] and text[start] in _WHITE:
        start += 1
    return start


def _name(text: bytes, start: int, end: int) -> str:
    try:
        name = orjson.loads(memoryview(text)[start:end])
    except orjson.JSONDecodeError as error:
        raise misplaced(text, start, error) from None
    if not isinstance(name, str):
        raise invalid(text, start, "expected a name")
    return name


def _characters(text: bytes, start: int, end: int) -> int:
    """How many characters of UTF-8 begin in a part of a text; counted in steps, as the lock is held by each."""
    return sum(
        len(text[step : min(end, step + COUNTED_BYTES)].translate(None, _CONTINUATION))
        for step in range(start, end, COUNTED_BYTES)
    )


def misplaced(text: bytes, start: int, error: orjson.JSONDecodeError) -> InvalidJsonError:
    """The error for a text whose part from `start` on is no JSON."""
    return invalid(text, start + len(error.doc[: error.pos].encode()), error.msg)


def invalid(text: bytes, place: int, what: str) -> InvalidJsonError:
    """The error for a mistake at a byte of a text, in the words of the parser."""
    line = text.count(b"\n", 0, place) + 1
    column = _characters(text, text.rfind(b"\n", 0, place) + 1, place) + 1
    characters = _characters(text, 0, place)
    return InvalidJsonError(f"expected JSON: {what}: line {line} column {column} (char {characters})")

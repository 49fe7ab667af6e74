"""Filters: conditions on the payload of items, read from JSON.

A filter is an object whose entries are all to hold; `{}` lets everything through, and an item without a payload has an
empty one.

* `"and"` and `"or"` take a list of filters, at least one, `"not"` takes a filter. Any other key is a field's name.
* A dot in a name descends into an object: `author.name` is `name` inside of `author`. It does not descend into lists.
  So neither a field called `and`, `or` or `not` at the top of the payload, nor one with a dot in its own name, can be
  asked for; every other name can, the empty one too.
* A field is given a string, a number, `true`, `false` or `null`, which it is to equal, or an object of operators, which
  are all to hold: `eq`; `in`, equal to one of a list (none of an empty one); `gt`, `gte`, `lt`, `lte`; `exists`.
* `gt` and its like compare numbers with numbers, and strings with strings, by code points. Kinds do not mix: `1` equals
  `1.0`, but neither `true` nor `"1"`; `null` equals a field that is there and is `null`, not one that is missing.
  A field of another kind does not match, which is no error. Objects equal nothing.
* A list matches where one of its elements does, and a single one by all the operators given. Lists inside lists are
  not looked into.
* `exists` asks whether the field itself is there, whatever its value, `null` and `[]` included.
* `not` is the plain opposite: `{"not": {"price": {"lte": 40}}}` holds where there is no price, or where it is a string.

Integers from -2^63 to 2^63 - 1 are compared exactly, with one another and with floats; those beyond are floats. Floats
are the doubles that SQLite reads from their decimal digits, which may differ from the nearest one in the last place
where the platform has no wider float; those of the payload and of the filter are read alike. A string of a filter
holds no U+0000; one of a payload may, and is told from all others.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

from models.errors import InvalidInputError
from service.described import kind

MAX_DEPTH = 8
MAX_CONDITIONS = 256
MAX_CHOICES = 10_000
# Of a whole filter: each slice of its evaluation begins with reading all values.
MAX_VALUES = 20_000
MAX_VALUE_BYTES = 2**20
MAX_NAME_BYTES = 512

Kind = Literal["null", "false", "true", "number", "text"]
Operator = Literal["eq", "in", "gt", "gte", "lt", "lte"]
Condition: TypeAlias = "All | AnyOf | Not | Field"


class Scalar(NamedTuple):
    """A value to compare with; its kind tells `true` from `1`, which are the same in Python, also as a key."""

    kind: Kind
    value: str | int | float | None = None


@dataclass(frozen=True)
class Comparison:
    """What a field's value, or one element of it, is to satisfy; only `in` has not exactly one operand."""

    operator: Operator
    operands: tuple[Scalar, ...]


@dataclass(frozen=True)
class Field:
    """All comparisons of the field that `path` leads to through objects; whether it exists, unless that is None."""

    path: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    exists: bool | None = None


@dataclass(frozen=True)
class All:
    """Every one of the conditions; of none, everything."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of the conditions."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The opposite of the condition."""

    condition: Condition


def parse_filter(value: Any) -> Condition:
    """The condition that a filter's JSON stands for; raises InvalidInputError that says where and what it expected.

    Filters lie at most 8 deep in one another and have at most 256 conditions; an `in` has at most 10,000 values.
    All values together are at most 20,000, and their strings at most 1 MiB of UTF-8.
    """
    return _Parser().filter(value, "filter", 1)


def names_a_field(condition: Condition) -> bool:
    """Whether it looks at anything: `{}` and its like let through everything, or nothing, whatever the payloads are."""
    match condition:
        case All(conditions) | AnyOf(conditions):
            return any(map(names_a_field, conditions))
        case Not(inner):
            return names_a_field(inner)
    return True


_OPERATORS: Final = get_args(Operator)
_SCALAR: Final = "a string, a number, true, false or null"


class _Parser:
    """Counts the conditions of one filter as they come."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = self._bytes = 0

    def filter(self, value: Any, where: str, depth: int) -> All:
        if depth > MAX_DEPTH:
            raise InvalidInputError(f"expected at most {MAX_DEPTH} filters inside one another, got more", where)
        if not isinstance(value, dict):
            raise _unexpected("a filter, which is an object", value, where)
        if not value:
            self._count(where)
        return All(tuple(self._entry(key, entry, where, depth) for key, entry in value.items()))

    def _entry(self, key: Any, value: Any, where: str, depth: int) -> Condition:
        _require_name(key, where)
        where = f"{where}/{key}"
        if key == "and":
            return All(self._filters(value, where, depth))
        if key == "or":
            return AnyOf(self._filters(value, where, depth))
        if key == "not":
            return Not(self.filter(value, where, depth + 1))
        return self._field(tuple(key.split(".")), value, where)

    def _filters(self, value: Any, where: str, depth: int) -> tuple[Condition, ...]:
        if not isinstance(value, list):
            raise _unexpected("a list of filters", value, where)
        if not value:
            raise InvalidInputError("expected a list of at least one filter, got an empty one", where)
        return tuple(self.filter(entry, f"{where}/{index}", depth + 1) for index, entry in enumerate(value))

    def _field(self, path: tuple[str, ...], value: Any, where: str) -> Field:
        if not isinstance(value, dict):
            self._count(where)
            equal = Comparison("eq", (_scalar(value, where, f"{_SCALAR}, or an object of operators"),))
            self._count_values(equal, where)
            return Field(path, (equal,))
        if not value:
            raise InvalidInputError(f"expected at least one operator, {_known()}, got none", where)
        comparisons, exists = [], None
        for operator, operand in value.items():
            self._count(where)
            if operator == "exists":
                exists = _boolean(operand, f"{where}/exists")
            else:
                comparisons.append(_comparison(operator, operand, where))
                self._count_values(comparisons[-1], f"{where}/{operator}")
        return Field(path, tuple(comparisons), exists)

    def _count(self, where: str) -> None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise InvalidInputError(f"expected a filter of at most {MAX_CONDITIONS} conditions, got more", where)

    def _count_values(self, comparison: Comparison, where: str) -> None:
        self._values += len(comparison.operands)
        if self._values > MAX_VALUES:
            raise InvalidInputError(f"expected a filter of at most {MAX_VALUES} values in all, got more", where)
        self._bytes += sum(len(each.value.encode()) for each in comparison.operands if isinstance(each.value, str))
        if self._bytes > MAX_VALUE_BYTES:
            detail = f"expected a filter whose strings are at most {MAX_VALUE_BYTES} bytes together, got more"
            raise InvalidInputError(detail, where)


def _comparison(operator: Any, operand: Any, where: str) -> Comparison:
    if operator not in _OPERATORS:
        raise InvalidInputError(
            f"expected operators, {_known()}, got {_shown(operator)} "
            "(a field inside of an object is named with a dot, as author.name)",
            where,
        )
    where = f"{where}/{operator}"
    if operator == "in":
        return Comparison("in", _choices(operand, where))
    if operator == "eq":
        return Comparison("eq", (_scalar(operand, where, _SCALAR),))
    bound = "a number or a string"
    if isinstance(operand, bool | None):
        raise _unexpected(bound, operand, where)
    return Comparison(operator, (_scalar(operand, where, bound),))


def _choices(value: Any, where: str) -> tuple[Scalar, ...]:
    if not isinstance(value, list):
        raise _unexpected("a list", value, where)
    if len(value) > MAX_CHOICES:
        raise InvalidInputError(f"expected at most {MAX_CHOICES} values, got {len(value)}", where)
    return tuple(_scalar(choice, f"{where}/{index}", _SCALAR) for index, choice in enumerate(value))


def scalar(value: Any) -> Scalar | None:
    """A value of JSON as it is compared; None of a list or an object."""
    match value:
        case None:
            return Scalar("null")
        case bool():
            return Scalar("true" if value else "false")
        case int() | float():
            return Scalar("number", value)
        case str():
            return Scalar("text", value)
    return None


def _scalar(value: Any, where: str, expected: str) -> Scalar:
    found = scalar(value)
    match found:
        case None:
            raise _unexpected(expected, value, where)
        case Scalar("number"):
            return Scalar("number", _number(value, where))
        case Scalar("text"):
            return Scalar("text", _text(value, where))
    return found


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _unexpected("true or false", value, where)
    return value


def _number(value: int | float, where: str) -> int | float:
    # Payloads keep integers that fit 64 bits, signed or not, and make floats of others.
    try:
        number = value if -(2**63) <= value < 2**64 else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInputError("expected a number that a 64-bit float can hold, got one that is none", where)
    return number


def _text(value: str, where: str) -> str:
    _require_unicode(value, where)
    if "\0" in value:
        raise InvalidInputError(f"expected a string without U+0000, got {_shown(value)}", where)
    return value


def _require_name(name: Any, where: str) -> None:
    if not isinstance(name, str):
        raise _unexpected("names that are strings", name, where)
    size = len(_require_unicode(name, where))
    if size > MAX_NAME_BYTES:
        raise InvalidInputError(f"expected names of at most {MAX_NAME_BYTES} bytes, got one of {size}", where)


def _require_unicode(value: str, where: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"expected Unicode text, got a lone surrogate: {_shown(value)}", where) from None


def _known() -> str:
    return ", ".join((*_OPERATORS, "exists"))


def _unexpected(expected: str, value: Any, where: str) -> InvalidInputError:
    return InvalidInputError(f"expected {expected}, got {kind(value)}", where)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."

"""What came, in the words of JSON: kinds of values, and short values as they are written."""

import reprlib
from itertools import islice
from typing import Any

LONGEST_ECHO = 80


class _Echo(reprlib.Repr):
    """What came may be deep or long: only its beginning is ever written out."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxstring = self.maxlong = self.maxother = LONGEST_ECHO

    # Found by the name of the type.
    def repr_NoneType(self, value: None, level: int) -> str:  # noqa: N802
        return "null"

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        # Not sorted, as `Repr` does it: there may be very many.
        if level <= 0:
            return "{...}" if value else "{}"
        first = list(islice(value.items(), self.maxdict))
        told = [f"{self.repr1(name, level - 1)}: {self.repr1(each, level - 1)}" for name, each in first]
        return "{" + ", ".join([*told, *(["..."] if len(value) > len(first) else [])]) + "}"

    def repr_bool(self, value: bool, level: int) -> str:
        return "true" if value else "false"


_ECHO = _Echo()


def shown(value: Any) -> str:
    """A value, or the beginning of a long one: at most 80 characters."""
    return _ECHO.repr(value)[:LONGEST_ECHO]


def kind(value: Any) -> str:
    """What kind of a value it is: `a list`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "an object"
    return f"a value of type {type(value).__name__}"

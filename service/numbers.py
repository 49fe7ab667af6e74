"""Numbers as text, in URLs, settings and options: in plain digits. Python reads more, as `1_0` and ` 10`."""

import re
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
_SEPARATOR = "_"


def is_whole(text: str) -> bool:
    """Whether it is a whole number as it is written in one way only."""
    return _WHOLE.fullmatch(text) is not None


def is_plain(text: str) -> bool:
    """Whether a number, of whatever kind, is written without what only Python takes for a part of one."""
    return _SEPARATOR not in text and text == text.strip()


def _require_whole(value: Any) -> Any:
    if isinstance(value, str) and not is_whole(value):
        raise PydanticKnownError("int_parsing")
    return value


def _require_plain(value: Any) -> Any:
    if isinstance(value, str) and not is_plain(value):
        raise PydanticKnownError("float_parsing")
    return value


# For an `int` and a `float` that come as text; what comes as a number is looked at by pydantic alone.
WHOLE, PLAIN = BeforeValidator(_require_whole), BeforeValidator(_require_plain)

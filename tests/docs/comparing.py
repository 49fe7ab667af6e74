"""What a page says is printed, against what was.

In text, `...` stands for anything within a line, and a line of `...` alone for any lines. JSON is compared as values,
so that a page may break its lines; members that vary are compared by type.
"""

import json
import re
from typing import Any

from tests.docs.blocks import Block

_ANY_LINES, _ANYTHING = r"(?:.*\n)*?", r".*?"


def compare(said: Block, printed: str) -> None:
    """Raise AssertionError that shows both, where they differ."""
    match said.language:
        case "json":
            same = agrees(json.loads(said.content), json.loads(printed), said.varies)
        case "ndjson":
            wanted, came = ([json.loads(line) for line in text.splitlines()] for text in (said.content, printed))
            same = agrees(wanted, came, said.varies)
        case _:
            same = pattern(said.content).fullmatch(_trimmed(printed)) is not None
    assert same, f"line {said.line}: expected\n{said.content}\ngot\n{printed}"


def pattern(text: str) -> re.Pattern[str]:
    """The texts that a `text` block stands for."""
    lines = _trimmed(text).splitlines()
    return re.compile("".join(_ANY_LINES if line.strip() == "..." else f"{_line(line)}\n" for line in lines))


def agrees(said: Any, came: Any, varies: frozenset[str] = frozenset()) -> bool:
    """Whether two values are the same, but for members of objects that only have to be of the same type."""
    if isinstance(said, dict) and isinstance(came, dict):
        return said.keys() == came.keys() and all(
            (_kind(said[name]) == _kind(came[name])) if name in varies else agrees(said[name], came[name], varies)
            for name in said
        )
    if isinstance(said, list) and isinstance(came, list):
        return len(said) == len(came) and all(agrees(*pair, varies) for pair in zip(said, came, strict=True))
    return type(said) is type(came) and bool(said == came)


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def _line(line: str) -> str:
    return _ANYTHING.join(re.escape(part) for part in line.split("..."))


def _trimmed(text: str) -> str:
    # Tables are padded to the width of the terminal, which no reader sees.
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines()).strip("\n") + "\n"

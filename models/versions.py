"""Names and versions of hashers: `digits@2` is the folder of that name, `digits` the newest version there is."""

import re
from pathlib import Path

from models.errors import InvalidInputError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NAME_RULE = "small letters, digits, - and _ (at most 64), a letter or digit first"
_REFERENCE = re.compile(rf"({NAME.pattern})@([1-9][0-9]{{0,8}})")


def versions(directory: Path) -> dict[str, list[int]]:
    """The versions of each hasher in a directory, oldest first; anything else there is passed over."""
    found: dict[str, list[int]] = {}
    if directory.is_dir():
        for path in directory.iterdir():
            match = _REFERENCE.fullmatch(path.name)
            if match and path.is_dir():
                found.setdefault(match[1], []).append(int(match[2]))
    return {name: sorted(numbers) for name, numbers in sorted(found.items())}


def next_folder(directory: Path, name: str) -> Path:
    """The folder where the next version of a hasher goes."""
    if not NAME.fullmatch(name):
        raise InvalidInputError(f"expected a name of small letters, digits, - and _ (at most 64), got {name!r}")
    return directory / f"{name}@{max(versions(directory).get(name, [0])) + 1}"


def find_folder(path: Path) -> Path:
    """The folder meant by a path: itself, or the newest version where the path ends in a name alone."""
    if path.is_dir():
        return path
    known = versions(path.parent)
    if path.name in known:
        return path.parent / f"{path.name}@{known[path.name][-1]}"
    there = ", ".join(f"{name}@{number}" for name, numbers in known.items() for number in numbers) or "none"
    raise InvalidInputError(f"expected a hasher folder, got {path}; hashers in {path.parent}: {there}")

"""Where results go: looked at before the work, so that hours of it are not lost to a wrong path."""

import os
from pathlib import Path

from models.errors import InvalidInputError


def check_writable(folder: Path) -> None:
    """Raise InvalidInputError where a folder could not be made, or written to; nothing is made yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InvalidInputError(f"expected {folder} to be a folder that can be written to, got {there}")

"""`pydocs`: the docstrings of the standard library of the interpreter that runs."""

import json
import subprocess  # nosec B404  # commands of ours
import sys
from pathlib import Path

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset, Item

READER = Path(__file__).with_name("docstrings.py")


def load() -> Dataset:
    """One item for each distinct public docstring: its name and first paragraph, labelled by module.

    They are read by a fresh interpreter, for libraries put their own functions in place of the standard ones
    (`torch` replaces `inspect.getfile`), and the items must be the same whoever asks.
    """
    reading = subprocess.run([sys.executable, "-I", "-S", READER], capture_output=True, text=True, encoding="utf-8")  # nosec B603  # a list of ours, no shell
    if reading.returncode != 0:
        raise InvalidInputError(f"expected to read the docstrings of {sys.executable}, got: {reading.stderr.strip()}")
    items = [_item(**json.loads(line)) for line in reading.stdout.splitlines()]
    return Dataset("pydocs", "text", len(items), lambda: iter(items))


def _item(name: str, module: str, text: str) -> Item:
    return Item(name, text, module, {"label": module, "text": text})

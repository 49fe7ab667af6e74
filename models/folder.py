"""Hasher folders on disk: written beside and renamed when whole, verified byte for byte when read.

`hasher.json` is the card: it names every other file with its sha256 and carries the sha256 of itself. It has one
rendering only, so that a changed byte anywhere in it, white space included, is noticed.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import HammingwayError

FORMAT = 2
# 1: before texts were normalised; its features have no `extractor` and no `normalisation`.
READABLE = (1, FORMAT)
CARD = "hasher.json"


class DamagedHasherError(HammingwayError):
    """A hasher folder that is not, byte for byte, what was written."""

    status = 503
    title = "Damaged hasher"


def write_folder(folder: Path, card: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write card and files as one new folder, which appears whole or not at all.

    Raises FileExistsError where the folder is there already: hashers are immutable.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    sibling = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            _write_durably(sibling / name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
        _write_durably(sibling / CARD, _render({**card, "format": FORMAT, "files": sums}))
        sibling.chmod(0o755)
        sibling.rename(folder)
    except BaseException:
        shutil.rmtree(sibling, ignore_errors=True)
        raise


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read and verify a hasher folder; returns its card and the content of its files.

    Raises DamagedHasherError, which names the file, for anything missing or changed.
    """
    raw = _read(folder, CARD)
    try:
        card = json.loads(raw)
        claimed = {key: value for key, value in card.items() if key != "sha256"}
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedHasherError(f"{folder / CARD} is not the JSON object that was written: {error}") from None
    if _render(claimed) != raw:
        raise DamagedHasherError(f"{folder / CARD} was changed after it was written: its checksum does not fit")
    if card.get("format") not in READABLE or not isinstance(card.get("files"), dict):
        raise DamagedHasherError(
            f"expected {folder / CARD} to have format {FORMAT} or older, and files, got format {card.get('format')!r}"
        )
    files = {}
    for name, expected in card["files"].items():
        files[name] = _read(folder, name)
        found = hashlib.sha256(files[name]).hexdigest()
        if found != expected:
            raise DamagedHasherError(
                f"{folder / name} was changed after it was written: expected sha256 {expected}, got {found}"
            )
    return card, files


def _render(card: Mapping[str, Any]) -> bytes:
    """The one rendering of a card, with the checksum of everything else in it."""
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**card, "sha256": digest}, sort_keys=True, indent=2) + "\n").encode()


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise DamagedHasherError(f"{folder / name} cannot be read: {error.strerror}") from None


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

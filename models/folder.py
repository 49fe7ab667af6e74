"""Hasher folders on disk: written beside and renamed when whole, verified byte for byte when read.

`hasher.json` is the card: it names every other file with its sha256 and carries the sha256 of itself. It has one
rendering only, so that a changed byte anywhere in it, white space included, is noticed.

A folder may have been prepared by anybody. Its card is checked before another file is opened, only regular files that
are in the folder itself are read, each once, and what is used are the very bytes that were verified.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import ELOOP
from pathlib import Path
from typing import Any

from models.card import CARD, FORMAT, require_card, require_described
from models.errors import HammingwayError, InvalidInputError

MOST_CARD_BYTES = 2**20
# Of all files of a folder together: what an ONNX file without external data can have at most.
MOST_BYTES = 2**31
BLOCK_BYTES = 2**20


class DamagedHasherError(HammingwayError):
    """A hasher folder that is not, byte for byte, what was written, or that is no hasher."""

    status = 503
    title = "Damaged hasher"


def write_folder(folder: Path, card: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write card and files as one new folder, which appears whole or not at all.

    Raises FileExistsError where the folder is there already: hashers are immutable. Raises InvalidInputError for a card
    that could not be read again.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    require_described(card)
    folder.parent.mkdir(parents=True, exist_ok=True)
    sibling = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            _write_durably(sibling / name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
        whole = {**card, "format": FORMAT, "files": sums}
        require_card(whole)
        _write_durably(sibling / CARD, _render(whole))
        sibling.chmod(0o755)
        sibling.rename(folder)
    except BaseException:
        shutil.rmtree(sibling, ignore_errors=True)
        raise


def read_folder(folder: Path, most_bytes: int = MOST_BYTES) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read and verify a hasher folder; returns its card and the content of its files.

    Raises DamagedHasherError, which names the file, for anything missing or changed, for a card that is none, and where
    all files together have more than `most_bytes`.
    """
    with _opened(folder) as directory:
        card = _read_card(folder, directory)
        files: dict[str, bytes] = {}
        for name, expected in card["files"].items():
            left = most_bytes - sum(map(len, files.values()))
            files[name] = _read(folder, directory, name, left)
            found = hashlib.sha256(files[name]).hexdigest()
            if found != expected:
                raise DamagedHasherError(
                    f"{folder / name} was changed after it was written: expected sha256 {expected}, got {found}"
                )
    return card, files


def state(folder: Path) -> tuple[object, ...]:
    """What changes when anything in a folder is changed: of each entry its name, inode, size and times."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        return (error.errno,)
    return tuple(sorted((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in found))


def _read_card(folder: Path, directory: int) -> dict[str, Any]:
    raw = _read(folder, directory, CARD, MOST_CARD_BYTES)
    try:
        card = json.loads(raw)
        claimed = {key: value for key, value in card.items() if key != "sha256"}
        rendered = _render(claimed)
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedHasherError(f"{folder / CARD} is not the JSON object that was written: {error}") from None
    if rendered != raw:
        raise DamagedHasherError(f"{folder / CARD} was changed after it was written: its checksum does not fit")
    try:
        require_card(card)
    except InvalidInputError as error:
        raise DamagedHasherError(f"{folder / CARD} is not the card of a hasher: {error}") from None
    return dict(card)


def _render(card: Mapping[str, Any]) -> bytes:
    """The one rendering of a card, with the checksum of everything else in it."""
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**card, "sha256": digest}, sort_keys=True, indent=2) + "\n").encode()


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DamagedHasherError(f"{folder} cannot be read: {error.strerror}") from None
    try:
        yield directory
    finally:
        os.close(directory)


def _read(folder: Path, directory: int, name: str, most: int) -> bytes:
    """The content of a regular file of an open directory; never waits for one that is something else."""
    path = folder / name
    try:
        # Without O_NONBLOCK a FIFO would wait for somebody to write into it.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        link = " or is a symbolic link" if error.errno == ELOOP else ""
        raise DamagedHasherError(f"{path} cannot be read{link}: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise DamagedHasherError(f"expected {path} to be a regular file, got something else")
        content = bytearray()
        while block := os.read(file, min(BLOCK_BYTES, most + 1 - len(content))):
            content += block
            if len(content) > most:
                raise DamagedHasherError(f"expected {path} to have at most {most} bytes, got more")
        return bytes(content)
    except OSError as error:
        raise DamagedHasherError(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(file)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

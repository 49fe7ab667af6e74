"""API keys and their roles. Only hashes are known here: a key itself is shown once, by `python -m scripts.key`.

Plain SHA-256 is enough, as a key is 32 random bytes: there is nothing to guess that a slow hash would protect.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from models.errors import InvalidInputError

KEY_BYTES = 32
PREFIX = "hw_"


class Role(IntEnum):
    """What a key may do; each role includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3

    def __str__(self) -> str:
        """As it is written: `read`."""
        return self.name.lower()


ROLES = {str(role): role for role in Role}
_LINE = re.compile(rf"({'|'.join(ROLES)}):([0-9a-f]{{64}})")


@dataclass(frozen=True)
class Key:
    """A key that is let in, known by the SHA-256 of its UTF-8."""

    role: Role
    digest: bytes


class Keys:
    """The keys that are let in; false where there are none, and everyone is."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        """Whether a key is asked for."""
        return bool(self._keys)

    def role(self, given: bytes) -> Role | None:
        """The role of a key as it came, None where it is not known; takes as long for every key of one length."""
        digest = hashlib.sha256(given).digest()
        found = 0
        # All are compared, wherever one fits.
        for key in self._keys:
            found = max(found, key.role * hmac.compare_digest(key.digest, digest))
        return Role(found) if found else None


def new_key() -> str:
    """A random key."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def line(role: Role, key: str) -> str:
    """What the service is told of a key: `read:` and its SHA-256 in hex."""
    return f"{role}:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_keys(setting: str | None) -> Keys:
    """The keys of `ROLE:SHA256,ROLE:SHA256`, or of a file with one a line, where `#` begins a comment.

    None gives no keys, an empty setting is an error: a variable that was forgotten must not open the doors.
    Raises InvalidInputError, which never repeats what came, as it may be a key by mistake.
    """
    if setting is None:
        return Keys()
    setting = setting.strip()
    if setting.partition(":")[0] in ROLES:
        lines = setting.split(",")
    else:
        lines = [text.partition("#")[0] for text in _read(Path(setting)).splitlines()]
    keys = [_key(number, text.strip()) for number, text in enumerate(lines, 1) if text.strip()]
    if not keys:
        raise InvalidInputError("keys: expected at least one ROLE:SHA256, got a file without any")
    return Keys(keys)


def _key(number: int, text: str) -> Key:
    match = _LINE.fullmatch(text)
    if match is None:
        raise InvalidInputError(
            f"keys: expected {', '.join(ROLES)}, a colon and a SHA-256 of 64 small hex digits, as python -m "
            f"scripts.key prints it, got something else of {len(text)} characters in place {number}"
        )
    return Key(ROLES[match[1]], bytes.fromhex(match[2]))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidInputError(f"keys: expected ROLE:SHA256,.. or a file of such lines, got neither: {why}") from None

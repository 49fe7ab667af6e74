"""Keys: who is let in, by hashes alone, and settings that are refused without repeating them."""

import hashlib
import hmac
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import InvalidInputError
from service import keys
from service.keys import Role, line, new_key, parse_keys

# `printf %s abc | sha256sum`
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_line_is_the_role_and_the_sha256_of_the_key() -> None:
    assert line(Role.READ, "abc") == f"read:{ABC}"
    assert parse_keys(f"write:{ABC}").role(b"abc") is Role.WRITE
    assert parse_keys(f"write:{ABC}").role(b"abd") is None
    assert parse_keys(f"write:{ABC}").role(ABC.encode()) is None


def test_a_key_given_twice_has_the_higher_role_wherever_it_stands() -> None:
    other = f"admin:{'0' * 64}"
    for setting in (f"read:{ABC},admin:{ABC},{other}", f"{other},admin:{ABC},read:{ABC}"):
        assert parse_keys(setting).role(b"abc") is Role.ADMIN
    assert parse_keys(f"{other},read:{ABC}").role(b"abc") is Role.READ


def test_a_file_holds_one_a_line_with_comments(tmp_path: Path) -> None:
    made = new_key()
    file = tmp_path / "keys"
    file.write_text(f"# for the shop\n{line(Role.READ, made)}  # its name\n\nadmin:{ABC}\n")
    found = parse_keys(str(file))
    assert (found.role(made.encode()), found.role(b"abc"), found.role(b"")) == (Role.READ, Role.ADMIN, None)


def test_without_a_setting_there_are_none_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    assert not parse_keys(None)
    assert parse_keys(f"read:{ABC}")
    (tmp_path / "empty").write_text("# none\n")
    for setting in (
        "",
        " ",
        str(tmp_path / "empty"),
        "read:",
        f"read:{ABC[:-1]}",
        f"read:{ABC.upper()}",
        f"root:{ABC}",
    ):
        with pytest.raises(InvalidInputError, match="keys: expected"):
            parse_keys(setting)


def test_a_key_given_in_place_of_its_hash_is_refused_and_not_repeated() -> None:
    secret = new_key()
    for setting in (secret, f"read:{secret}", f"read:{ABC},{secret}"):
        with pytest.raises(InvalidInputError) as raised:
            parse_keys(setting)
        assert secret not in str(raised.value)


def test_every_key_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    really = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(a)
        return really(a, b)

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    digests = [hashlib.sha256(str(n).encode()).digest() for n in range(5)]
    known = parse_keys(",".join(f"read:{digest.hex()}" for digest in digests))
    for given in (b"0", b"4", b"none of them"):
        compared.clear()
        known.role(given)
        assert compared == digests


def test_the_command_makes_a_key_that_its_line_lets_in() -> None:
    made: set[str] = set()
    for role in ("read", "write", "admin"):
        command = [sys.executable, "-m", "scripts.key", role]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        shown, told = (text.split(": ", 1)[1] for text in done.stdout.splitlines())
        assert parse_keys(told).role(shown.encode()) == keys.ROLES[role]
        # 32 random bytes in base64.
        assert len(shown) == len("hw_") + 43
        made.add(shown)
    assert len(made) == 3

"""How codes are written in JSON: as hex, base64, or text of 0 and 1."""

import base64
import binascii
import re
from typing import Literal

import numpy as np

from models.codes import Codes, from_hex, pack, to_hex, unpack
from models.errors import InvalidInputError

Format = Literal["hex", "base64", "bits"]
LONGEST_ECHO = 80
_BITS = re.compile(r"[01]*")


def write_code(code: Codes, form: Format) -> str:
    """One code, (bits / 8,) uint8, as text."""
    match form:
        case "base64":
            return base64.b64encode(code.tobytes()).decode()
        case "bits":
            return "".join(map(str, unpack(code[None])[0].tolist()))
        case "hex":
            return to_hex(code)


def read_code(text: str, bits: int, form: Format) -> bytes:
    """One code of `bits` bits, packed; the inverse of `write_code`. Raises InvalidInputError."""
    match form:
        case "base64":
            return _from_base64(text, bits)
        case "bits":
            return _from_bits(text, bits)
        case "hex":
            return from_hex(text, bits)


def _from_base64(text: str, bits: int) -> bytes:
    wanted = f"a code of {bits} bits as base64"
    try:
        code = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise InvalidInputError(f"expected {wanted}, got {_shown(text)}: {error}") from None
    # The last character may hold bits that no byte takes: two texts would be one code.
    if len(code) * 8 != bits or base64.b64encode(code).decode() != text:
        raise InvalidInputError(f"expected {wanted}, got {len(code) * 8} bits: {_shown(text)}")
    return code


def _from_bits(text: str, bits: int) -> bytes:
    if len(text) != bits or not _BITS.fullmatch(text):
        raise InvalidInputError(f"expected a code of {bits} characters 0 or 1, got {len(text)}: {_shown(text)}")
    return pack(np.array([list(map(int, text))], np.uint8)).tobytes()


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "...")

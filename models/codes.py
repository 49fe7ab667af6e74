"""Codes: logits cut at zero, packed eight bits to a byte, compared by Hamming distance."""

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError

Codes = NDArray[np.uint8]
LONGEST_CODE_BITS = 4096


def pack(bits: NDArray[np.floating] | NDArray[np.integer]) -> Codes:
    """Pack logits, or anything whose sign is the bit, into codes.

    `bits`: (n, bits) of any real dtype, a bit is set where the value is above zero; bits % 8 == 0.
    Returns (n, bits / 8) uint8, little-endian by bit: bit j of a code is bit j % 8 of byte j // 8.
    """
    if bits.ndim != 2 or bits.shape[1] % 8:
        raise InvalidInputError(f"expected bits of shape (n, a multiple of 8), got {bits.shape}")
    return np.packbits(bits > 0, axis=1, bitorder="little")


def unpack(codes: Codes) -> NDArray[np.uint8]:
    """Unpack codes (n, bits / 8) uint8 into (n, bits) uint8 of zeros and ones; the inverse of `pack`."""
    return np.unpackbits(codes, axis=1, bitorder="little")


def to_hex(code: Codes) -> str:
    """Write one code, (bits / 8,) uint8, as hex: byte i is the digits 2i and 2i + 1."""
    return code.tobytes().hex()


def from_hex(text: str, bits: int) -> bytes:
    """Read one code of `bits` bits from hex, the inverse of `to_hex`; either case of the digits is taken."""
    try:
        code = bytes.fromhex(text)
    except ValueError:
        code = b""
    # Both, as spaces between the digits are passed over.
    if len(text) * 4 != bits or len(code) * 8 != bits:
        shown = text if len(text) <= 80 else text[:80] + "..."
        raise InvalidInputError(f"expected a code of {bits // 4} hex digits, got {len(text)}: {shown!r}")
    return code


def hamming(queries: Codes, codes: Codes) -> NDArray[np.int32]:
    """Hamming distances of (m, bits / 8) against (n, bits / 8) codes, as (m, n) int32."""
    if queries.shape[1] != codes.shape[1]:
        raise InvalidInputError(f"codes of {queries.shape[1] * 8} and {codes.shape[1] * 8} bits cannot be compared")
    distances = np.empty((len(queries), len(codes)), np.int32)
    for row, query in zip(distances, queries, strict=True):
        np.sum(np.bitwise_count(codes ^ query), axis=1, dtype=np.int32, out=row)
    return distances


def asymmetric(logits: NDArray[np.float32], codes: Codes) -> NDArray[np.float32]:
    """Asymmetric distances `-logits . (2 code - 1)`, (m, bits) logits against n codes: (m, n) float32."""
    signs = unpack(codes).astype(np.float32) * 2 - 1
    return -(logits @ signs.T)

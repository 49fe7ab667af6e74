"""Two codes side by side: how far apart they are, in which bits, and how sure the encoder was of these."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes, unpack
from service.coding.encoding import Coded


@dataclass(frozen=True)
class Side:
    """One of the two: its packed code, and |logit| (differing,) float32 of each bit that differs.

    `magnitudes` is None of a code as given, and of an item whose features were not kept.
    """

    code: bytes
    magnitudes: NDArray[np.float32] | None


@dataclass(frozen=True)
class Comparison:
    """`differing` (distance,) int64 are the bits that differ, ascending: bit j is bit j % 8 of byte j // 8."""

    bits: int
    differing: NDArray[np.int64]
    a: Side
    b: Side

    @property
    def distance(self) -> int:
        """Hamming's."""
        return len(self.differing)


def compare(a: Coded, b: Coded) -> Comparison:
    """Compare two codes of one length."""
    one, other = unpack(np.stack([_packed(a), _packed(b)]))
    differing = np.flatnonzero(one != other)
    return Comparison(len(one), differing, _side(a, differing), _side(b, differing))


def _packed(coded: Coded) -> Codes:
    return np.frombuffer(coded.code, np.uint8)


def _side(coded: Coded, differing: NDArray[np.int64]) -> Side:
    return Side(coded.code, None if coded.logits is None else np.abs(coded.logits[differing]))

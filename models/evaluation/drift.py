"""Whether items differ from those that a hasher was trained on, by more than chance.

Shares are compared by the two-sample z-test, with the standard error of both samples; as many are tested at once, each
has to be as unlikely as makes one false alarm in a thousand for all of them together (Bonferroni).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from models.evaluation.fingerprint import Fingerprint
from models.evaluation.metrics import share_of_ones

FEWEST = 50
FALSE_ALARMS = 0.001


@dataclass(frozen=True)
class Shift:
    """Shares that were compared: how many drifted, and the one that is farthest from chance."""

    drifted: int
    compared: int
    worst: int
    expected: float
    found: float
    standard_error: float


@dataclass(frozen=True)
class Drift:
    """In words, whether it is so (None: cannot tell), and by what; the error's ratio is to the mean in training."""

    verdict: str
    drifting: bool | None
    bits: Shift | None = None
    errors: Shift | None = None
    error_ratio: float | None = None


def drift(fingerprint: Fingerprint, codes: Codes, errors: NDArray[np.float64] | None) -> Drift:
    """Compare codes (n, bits / 8) and, where features were kept, reconstruction errors (m,) with a fingerprint."""
    few = min(len(codes), fingerprint.items)
    if few < FEWEST:
        whose = "" if few == len(codes) else " held out in training"
        return Drift(f"too few items{whose} to tell: {few}, expected at least {FEWEST}", None)
    bits = _shift(np.asarray(fingerprint.share_of_ones), share_of_ones(codes), fingerprint.items, len(codes))
    words = []
    if bits.drifted:
        words.append(
            f"{bits.drifted} of {bits.compared} bits are set more or less often than in training (bit {bits.worst} in "
            f"{bits.found:.0%} of the items instead of {bits.expected:.0%})"
        )
    if errors is None or len(errors) < FEWEST:
        return _told(words, bits)
    above = np.array([(errors > value).mean() for value in fingerprint.errors])
    shift = _shift(np.asarray(fingerprint.above), above, fingerprint.items, len(errors))
    ratio = float(errors.mean()) / fingerprint.mean_error if fingerprint.mean_error else None
    if shift.drifted:
        words.append(
            f"items lose {'more' if shift.found > shift.expected else 'less'} in reconstruction than in training "
            f"({shift.found:.0%} of the errors are above what {shift.expected:.0%} were above)"
        )
    return _told(words, bits, shift, ratio)


def _told(words: list[str], bits: Shift, errors: Shift | None = None, ratio: float | None = None) -> Drift:
    verdict = f"drifting: {'; '.join(words)}" if words else "as in training"
    return Drift(verdict, bool(words), bits, errors, ratio)


def _shift(expected: NDArray[np.float64], found: NDArray[np.float64], before: int, now: int) -> Shift:
    """Shares (k,) of two samples of so many items."""
    together = (expected * before + found * now) / (before + now)
    error = np.sqrt(together * (1 - together) * (1 / before + 1 / now))
    # Without an error all were alike in both.
    scores = np.abs(found - expected) / np.where(error > 0, error, 1.0)
    least = NormalDist().inv_cdf(1 - FALSE_ALARMS / 2 / len(scores))
    worst = int(scores.argmax())
    return Shift(
        int((scores > least).sum()),
        len(scores),
        worst,
        float(expected[worst]),
        float(found[worst]),
        float(error[worst]),
    )

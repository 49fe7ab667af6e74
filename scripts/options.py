"""Numbers on the command line."""

import argparse
import math

from service.numbers import is_plain, is_whole


def whole(text: str) -> int:
    """A whole number."""
    if not is_whole(text):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def real(text: str) -> float:
    """A number."""
    try:
        return float(text if is_plain(text) else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def seconds(text: str) -> float:
    """A time of 0 or more."""
    number = real(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected 0 or more seconds, got {text}")
    return number

"""Numbers on the command line."""

import argparse
from collections.abc import Callable

import pytest

from scripts.options import positive, real, seconds, whole
from scripts.train import corruption, weight

Read = Callable[[str], object]


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (whole, "1_0", "expected a whole number, got '1_0'"),
        (whole, " 10", "expected a whole number, got ' 10'"),
        (whole, "1.0", "expected a whole number, got '1.0'"),
        (positive, "1_0", "expected a whole number, got '1_0'"),
        (positive, "0", "expected 1 or more, got 0"),
        (real, "1_0.5", "expected a number, got '1_0.5'"),
        (real, "half", "expected a number, got 'half'"),
        (seconds, "1_0", "expected a number, got '1_0'"),
        (seconds, "nan", "expected 0 or more seconds, got nan"),
        (seconds, "-1", "expected 0 or more seconds, got -1"),
        (weight, "balance=1_0", "expected a number, got '1_0'"),
        (corruption, "masking=0_1", "expected a number, got '0_1'"),
    ],
)
def test_what_is_none_is_refused_with_what_came(read: Read, text: str, expected: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read(text)
    assert str(caught.value) == expected


def test_what_is_one_is_read() -> None:
    assert [whole(text) for text in ("0", "10", "-3")] == [0, 10, -3]
    assert (positive("10"), real("-1e-3"), seconds("0.5"), weight("balance=2")) == (10, -0.001, 0.5, ("balance", 2.0))

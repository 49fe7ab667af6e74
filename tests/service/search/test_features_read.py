"""Features that are read for one query after the other: each once, as long as there is room for them."""

from collections.abc import Iterable

import pytest

from service.search import features_read
from service.search.features_read import FeaturesRead


class Kept:
    """Ten bytes of each even number; what was asked for, each time."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def read(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """Those that are there."""
        self.asked.append(sorted(numbers))
        return {number: bytes([number]) * 10 for number in self.asked[-1] if number % 2 == 0}


def test_only_what_was_not_read_yet_is_read() -> None:
    kept = Kept()
    read = FeaturesRead(kept.read)
    assert read.of([2, 4, 5]) == {2: b"\2" * 10, 4: b"\4" * 10}
    assert read.of([4, 6])[6] == b"\6" * 10
    assert read.of([2, 6])[2] == b"\2" * 10
    assert kept.asked == [[2, 4, 5], [6]]


def test_what_others_had_read_is_let_go_where_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_read, "MOST_BYTES", 25)
    kept = Kept()
    read = FeaturesRead(kept.read)
    for numbers in ([0, 2], [2, 4], [4, 6], [2, 6]):
        assert read.of(numbers).keys() >= set(numbers)
    # 20 bytes were held, then 30: the third began anew, and the fourth had all but one.
    assert kept.asked == [[0, 2], [4], [4, 6], [2]]

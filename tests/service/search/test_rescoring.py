import itertools

import numpy as np
import pytest

from models.errors import InvalidInputError
from service.coding import kept_features
from service.coding.encoding import Coded
from service.items import Query, Wanted
from service.search.rescoring import asymmetric, candidates, require, rescored
from service.store.schema import CollectionRow, CollectionSettings, KeepFeatures

LOGITS = np.array([0.5, -1, 2, -4, 8, -16, 32, -64], np.float32)
# Bits 0, 2, 4 and 6 are set.
CODE = bytes([0b01010101])


def row(keep: KeepFeatures) -> CollectionRow:
    return CollectionRow(1, "c", CollectionSettings(8, "h@1", keep_features=keep))


def test_asymmetric_sums_the_magnitudes_of_the_bits_that_differ() -> None:
    query = Coded(CODE, None, LOGITS)
    codes = {5: 0b01010101, 3: 0b01010100, 9: 0b01010111, 1: 0b11010101, 2: 0b00000000, 7: 0b11111111, 8: 0b10101010}
    found = asymmetric(query, {key: bytes([code]) for key, code in codes.items()})
    assert found == {5: 0, 3: 0.5, 9: 1, 1: 64, 2: 42.5, 7: 85, 8: 127.5}
    assert list(found) == list(codes)


def test_a_logit_of_zero_is_no_set_bit() -> None:
    query = Coded(b"\0", None, np.zeros(8, np.float32))
    assert asymmetric(query, {1: b"\0", 2: b"\xff"}) == {1: 0, 2: 0}


@pytest.mark.parametrize("bits", [8, 64, 128, 256, 1000])
def test_equal_codes_have_equal_scores_wherever_they_stand_among_however_many(bits: int) -> None:
    rng = np.random.default_rng(bits)
    query = Coded(b"", None, rng.standard_normal(bits).astype(np.float32))
    code, other = (rng.integers(0, 256, bits // 8, dtype=np.uint8).tobytes() for _ in range(2))
    alone = asymmetric(query, {0: code})[0]
    for number in (2, 3, 7, 33, 100, 1003):
        found = asymmetric(query, {key: other if key % 5 == 3 else code for key in range(number)})
        assert {score for key, score in found.items() if key % 5 != 3} == {alone}


def test_asymmetric_of_logits_beyond_float32_is_still_a_number() -> None:
    logits = np.array([3e38, -3e38, 3e38, np.inf, -np.inf, np.nan, 1, -1], np.float32)
    found = asymmetric(Coded(b"", None, logits), {1: b"\x4d", 2: b"\xb2", 3: b"\x4c"})
    # 3 differs from 1 in bit 0 alone.
    assert found[1] == 0
    assert found[3] == float(logits[0])
    assert 3e38 * 3 < found[2] < np.inf


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_rescored_is_the_euclidean_distance_to_what_was_kept(keep: KeepFeatures) -> None:
    # All of them are kept exactly by either kind.
    rows = {4: [127, 0, 0], 2: [127, 3, 4], 9: [127, -12, 5], 1: [0, 0, 0]}
    kept = {key: kept_features.pack(np.array(each, np.float32), keep) or b"" for key, each in rows.items()}
    query = Coded(b"", np.array([127, 0, 0], np.float32), LOGITS)
    assert rescored(query, kept, keep) == {4: 0, 2: 5, 9: 13, 1: 127}
    assert list(rescored(query, kept, keep)) == list(rows)


@pytest.mark.parametrize(("keep", "size"), [("float16", 65504.0), ("int8", 3e38)])
def test_rescored_of_the_largest_features_is_still_a_number(keep: KeepFeatures, size: float) -> None:
    rows = {1: [size] * 4, 2: [-size] * 4, 3: [0] * 4, 4: [size, size, size, -size]}
    kept = {key: kept_features.pack(np.array(each, np.float32), keep) or b"" for key, each in rows.items()}
    with np.errstate(over="raise", invalid="raise"):
        found = rescored(Coded(b"", np.full(4, size, np.float32), LOGITS), kept, keep)
    expected = {1: 0.0, 2: 4 * size, 3: 2 * size, 4: 2 * size}
    assert found == pytest.approx(expected, rel=1e-6, abs=size * 1e-6)


def test_of_nothing_there_is_nothing() -> None:
    query = Coded(CODE, np.zeros(3, np.float32), LOGITS)
    assert asymmetric(query, {}) == {}
    assert rescored(query, {}, "int8") == {}


def test_how_many_are_ranked_anew() -> None:
    assert candidates(Wanted(10, rank="asymmetric")) == 100
    assert candidates(Wanted(10, rank="rescored")) == 1000
    assert candidates(Wanted(10, rank="rescored", candidates=7)) == 7


def test_what_an_order_takes() -> None:
    document, code, item = Query("vector", []), Query("code", "55"), Query("id", "a")
    whole, bare = Coded(CODE, np.zeros(3, np.float32), LOGITS), Coded(CODE)
    for keep in ("none", "float16", "int8"):
        require(row(keep), [document, code, item], [whole, bare, bare], "hamming")
        require(row(keep), [document, item], [whole, whole], "asymmetric")
    require(row("int8"), [document, item], [whole, whole], "rescored")
    with pytest.raises(InvalidInputError, match="expected a collection that keeps features, got rescored"):
        require(row("none"), [], [], "rescored")
    for rank, (query, came) in itertools.product(
        ("asymmetric", "rescored"), ((code, "a code"), (item, "an id where they are not"))
    ):
        with pytest.raises(InvalidInputError, match=f"expected documents for {rank}, .* got {came} as query 1"):
            require(row("int8"), [document, query], [whole, bare], rank)

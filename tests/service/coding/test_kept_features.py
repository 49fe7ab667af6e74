import struct

import numpy as np
import pytest

from service.coding.kept_features import pack, unpack
from service.store.schema import KeepFeatures

KINDS: list[KeepFeatures] = ["float16", "int8"]
LARGEST = np.finfo(np.float32).max


def row(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def test_none_is_kept_where_none_are_wanted() -> None:
    assert pack(row(1, 2), "none") is None


def test_bytes_worked_by_hand() -> None:
    # The float16 of 1 is 3c00, of -2 c000, of 0.5 3800; low byte first.
    assert pack(row(1, -2, 0.5), "float16") == bytes.fromhex("003c00c00038")
    # 254 is 127 scales of 2: 5 is 2.5 of them, and halves are rounded to even.
    assert pack(row(254, -254, 2, 5, -7, 0), "int8") == struct.pack("<f6b", 2, 127, -127, 1, 2, -4, 0)
    assert unpack(bytes.fromhex("003c00c00038"), "float16").tolist() == [1, -2, 0.5]
    assert unpack(struct.pack("<f6b", 2, 127, -127, 1, 2, -4, 0), "int8").tolist() == [254, -254, 2, 4, -8, 0]


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
@pytest.mark.parametrize("dimension", [1, 12, 384])
def test_what_comes_back_is_as_near_as_the_kind_allows(dimension: int, scale: float) -> None:
    rng = np.random.default_rng(dimension)
    for _ in range(20):
        given = (rng.standard_normal(dimension) * scale).astype(np.float32)
        for kind, length in (("float16", 2 * dimension), ("int8", dimension + 4)):
            packed = pack(given, kind)
            assert packed is not None and len(packed) == length
            back = unpack(packed, kind)
            assert back.dtype == np.float32 and back.shape == given.shape
            error = np.abs(back.astype(np.float64) - given)
            if kind == "float16":
                # Half a unit in the last of 11 bits; below 2^-14 the steps are 2^-24.
                assert (error <= np.maximum(np.abs(given) * 2.0**-11, 2.0**-25)).all()
            else:
                assert (error <= np.abs(given).max() / 127 * 0.50001).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_zeros_comes_back(kind: KeepFeatures) -> None:
    packed = pack(np.zeros(5, np.float32), kind)
    assert packed is not None
    assert unpack(packed, kind).tolist() == [0] * 5


def test_beyond_float16_is_its_largest() -> None:
    packed = pack(row(65504, 65520, 1e38, -1e38, 1e-30), "float16")
    assert packed is not None
    assert unpack(packed, "float16").tolist() == [65504, 65504, 65504, -65504, 0]


@pytest.mark.parametrize("largest", [LARGEST, 1e38, 1e-37, 1e-40, 3e-43, 2.6e-43, 1e-44, 1e-45])
def test_int8_takes_any_row_of_float32_and_turns_no_sign(largest: float) -> None:
    given = row(largest, -largest, largest / 2, 0)
    packed = pack(given, "int8")
    assert packed is not None
    with np.errstate(over="raise"):
        back = unpack(packed, "int8").astype(np.float64)
    assert np.isfinite(back).all()
    assert (np.sign(back) * np.sign(given) >= 0).all()
    # A scale that is denormal has few digits itself: then it is within a third.
    allowed = 0.51 / 127 if largest > 1e-36 else 0.34
    smallest = 127 * 2.0**-149
    assert (np.abs(back - given) <= max(allowed * float(given.max()), smallest)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("power", [-46, -44, -40, -38, -10, 0, 3, 37, 38])
def test_what_was_kept_and_comes_again_is_kept_the_same(kind: KeepFeatures, power: int) -> None:
    rng = np.random.default_rng(power + 50)
    for _ in range(500):
        given = np.clip(rng.standard_normal(rng.integers(1, 9)) * 10.0**power, -LARGEST, LARGEST).astype(np.float32)
        packed = pack(given, kind)
        assert packed is not None
        again = pack(unpack(packed, kind), kind)
        assert again is not None and unpack(again, kind).tolist() == unpack(packed, kind).tolist()

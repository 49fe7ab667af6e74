import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.codes import asymmetric, from_hex, hamming, pack, to_hex, unpack
from models.errors import InvalidInputError


def test_bit_j_is_bit_j_mod_8_of_byte_j_div_8() -> None:
    logits = np.full((1, 16), -1.0, np.float32)
    logits[0, 0] = logits[0, 9] = 0.5
    assert pack(logits).tolist() == [[0b00000001, 0b00000010]]


def test_a_logit_of_zero_is_a_bit_of_zero() -> None:
    assert pack(np.zeros((1, 8), np.float32)).tolist() == [[0]]


@given(st.binary(min_size=8, max_size=8))
def test_pack_and_hex_are_undone(raw: bytes) -> None:
    code = np.frombuffer(raw, np.uint8)
    assert pack(unpack(code[None])).tobytes() == raw
    assert from_hex(to_hex(code), 64) == raw


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_hamming_is_the_count_of_differing_bits(a: bytes, b: bytes) -> None:
    expected = (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()
    assert hamming(np.frombuffer(a, np.uint8)[None], np.frombuffer(b, np.uint8)[None]).tolist() == [[expected]]


def test_asymmetric_distance_by_hand() -> None:
    logits = np.array([[3, -2, 1, 0, 0, 0, 0, 0]], np.float32)
    codes = np.array([[0b00000101], [0b00000010]], np.uint8)
    assert asymmetric(logits, codes).tolist() == [[-6.0, 6.0]]


@pytest.mark.parametrize("text", ["00", "zz" * 8, "0" * 17, " " * 16, "٣" * 16])
def test_a_wrong_code_says_what_was_expected(text: str) -> None:
    with pytest.raises(InvalidInputError, match="expected a code of 16 hex digits, got"):
        from_hex(text, 64)


def test_codes_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="64 and 128 bits"):
        hamming(np.zeros((1, 8), np.uint8), np.zeros((1, 16), np.uint8))
    with pytest.raises(InvalidInputError, match="multiple of 8"):
        pack(np.zeros((1, 9)))

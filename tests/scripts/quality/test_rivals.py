"""The wrappers give what their libraries promise."""

import sys
import types

import numpy as np
import pytest
from PIL import Image

from models.codes import hamming
from scripts.quality import rivals
from scripts.quality.natural import shingles


def test_minhash_estimates_the_similarity_of_the_shingles() -> None:
    text = "the quick brown fox jumps over the lazy dog and runs away into the dark wood behind the old mill"
    texts = [text, text.replace("fox", "cat"), "something else altogether, of which there is no word in the first"]
    signatures = rivals.minhash(texts, 2048)
    distances = rivals.minhash_distances(signatures, signatures)
    codes = rivals.one_bit_minhash(signatures)
    bits = hamming(codes, codes) / 2048
    for first in range(3):
        for second in range(3):
            one, other = shingles(texts[first]), shingles(texts[second])
            exact = 1 - len(one & other) / len(one | other)
            assert distances[first, second] == pytest.approx(exact, abs=0.05)
            # Bits of different values differ half of the time.
            assert bits[first, second] == pytest.approx(exact / 2, abs=0.05)


def test_semhash_joins_what_is_as_similar_as_asked() -> None:
    angles = np.deg2rad([0, 5, 90, 120, 180])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    strict, loose = rivals.semhash_groups(rows, [0.99, 0.8])
    assert (strict[0], loose[0]) == (0.99, 0.8)
    assert [len(set(groups)) for _, groups in (strict, loose)] == [4, 3]
    assert strict[1][0] == strict[1][1]
    assert loose[1][2] == loose[1][3]


def test_cosine_distances_by_hand() -> None:
    rows = np.array([[1, 0], [2, 0], [0, 3], [-1, 0]], np.float32)
    assert rivals.cosine_distances(rows[:1], rows).tolist() == [[0, 0, 1, 2]]


def test_all_pairs_of_a_matrix_once() -> None:
    pairs, apart = rivals.pairs_within(np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], np.float32))
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert apart.tolist() == [1, 2, 3]


def test_picture_hashes_move_little_with_a_little_blur() -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((96, 96)) for _ in range(2)]
    near = pictures[0].resize((64, 64)).resize((96, 96))
    hashes = rivals.picture_hashes()
    assert list(hashes) == ["pHash", "dHash", "wHash", "PDQ"]
    for name, make in hashes.items():
        if name == "PDQ" and not rivals.installed("pdqhash"):
            assert make is None
            continue
        assert make is not None
        first, same, other = (make(picture) for picture in (pictures[0], near, pictures[1]))
        assert len(first) == (256 if name == "PDQ" else 64)
        assert np.count_nonzero(first != same) < 0.1 * len(first) < np.count_nonzero(first != other)


def test_what_is_not_installed_is_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "installed", lambda package: False)
    assert set(rivals.picture_hashes().values()) == {None}


def test_pdq_gets_rgb_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("pdqhash")
    fake.compute = lambda pixels: ((pixels.ravel()[:256] > 0).astype(np.uint8), 100)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pdqhash", fake)
    monkeypatch.setattr(rivals, "installed", lambda package: True)
    make = rivals.picture_hashes()["PDQ"]
    assert make is not None
    bits = make(Image.new("L", (20, 20), 200))
    assert bits.dtype == bool and bits.all() and len(bits) == 256

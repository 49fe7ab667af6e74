"""Hashed n-grams: equal to a count of n-grams by hand, near for near-copies, the same on every machine."""

import hashlib
import itertools
import time

import numpy as np
import pytest

from models.errors import InvalidInputError
from models.features import load_features
from models.features.ngrams import NgramFeatures, NgramSettings, _Substrings

TEXT = "The service exposes encode, index and search; the index follows the store."


@pytest.fixture(scope="module")
def ngrams() -> NgramFeatures:
    return NgramFeatures()


def test_equal_substrings_have_equal_hashes_and_others_others() -> None:
    text = "abcabcaab\U0001f600abc"
    hashes: dict[int, str] = {}
    for start, end in itertools.combinations(range(len(text) + 1), 2):
        (found,) = _Substrings(text).hashes(np.array([start]), np.array([end]))
        assert hashes.setdefault(int(found), text[start:end]) == text[start:end]
    assert len(hashes) == len({text[a:b] for a, b in itertools.combinations(range(len(text) + 1), 2)})


def test_the_cosine_of_two_texts_is_that_of_their_ngrams() -> None:
    """With more numbers than n-grams, hashing loses little: the cosine by hand, of square roots of counts."""
    features = NgramFeatures(NgramSettings(dimension=2**16, words=[], characters=[3]))
    one, other = "banana bandana", "bananas and a banana"

    def grams(text: str) -> dict[str, float]:
        padded = f" {text} "
        found = [padded[at : at + 3] for at in range(len(padded) - 2)]
        return {gram: found.count(gram) ** 0.5 for gram in found}

    a, b = grams(one), grams(other)
    norms = np.prod([sum(value**2 for value in each.values()) ** 0.5 for each in (a, b)])
    by_hand = sum(a[gram] * b.get(gram, 0) for gram in a) / norms
    assert features.row(one) @ features.row(other) == pytest.approx(by_hand, abs=1e-6)


def test_near_copies_are_nearer_than_texts_on_the_same_matter(ngrams: NgramFeatures) -> None:
    row = ngrams.row(TEXT)
    for copy in (TEXT + " Really.", TEXT.replace("encode", "encod"), TEXT[20:], TEXT.upper(), f"\u200b{TEXT}  "):
        assert row @ ngrams.row(copy) > 0.75, copy
    assert row @ ngrams.row(" ".join(reversed(TEXT.split()))) > 0.5
    assert row @ ngrams.row("A web application offers endpoints for coding and for queries.") < 0.3


def test_rows_are_the_same_on_every_machine(ngrams: NgramFeatures) -> None:
    rows = np.stack([ngrams.row(text) for text in (TEXT, "x", "日本語のテキスト", "😀!", "-- ..")])
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-6
    # Integers and square roots alone: rounded here, so that the order of a sum does not count.
    assert hashlib.sha256(np.rint(rows * 1e4).astype("<i4").tobytes()).hexdigest() == GOLDEN


GOLDEN = "60ff9f0dbd7f5c6cfb429c52e95580fbe986f01196b21e5323317b95eecb3a11"


def test_it_is_restored_from_its_card(ngrams: NgramFeatures) -> None:
    settings = ngrams.settings()
    assert settings["extractor"] == "ngrams" and settings["normalisation"]["case"] == "folded"
    again = load_features(settings, {})
    assert np.array_equal(again.row(TEXT), ngrams.row(TEXT))
    for wrong in ({"dimension": 1}, {"characters": []}, {"words": [0]}, {"words": [9]}, {"vocabulary": []}):
        with pytest.raises(InvalidInputError, match=f"features/{next(iter(wrong))}.* on the card: .*, got "):
            load_features({**settings, **wrong}, {})


def test_a_text_without_a_single_ngram_is_refused() -> None:
    features = NgramFeatures(NgramSettings(words=[], characters=[8]))
    with pytest.raises(InvalidInputError, match="expected a text with at least one n-gram, got none"):
        features.row("x")


def test_the_longest_text_takes_no_second(ngrams: NgramFeatures) -> None:
    started = time.process_time()
    ngrams.row("".join(chr(97 + int(n)) for n in np.random.default_rng(0).integers(0, 26, 100_000)))
    assert time.process_time() - started < 5

"""Texts that a person cannot tell apart are one text, however they are written."""

import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidInputError
from models.features.normalisation import INVISIBLE, MOST_MARKS, Normalisation
from models.features.static import StaticFeatures
from models.features.text import TextTooLongError

FOLDED, KEPT = Normalisation(), Normalisation(case="kept")
TEXT = "Fine Über café: the Straße of ½ \u0939\u093f\u0928\u094d\u0926\u0940"
INVISIBLES = (
    "\u200b",
    "\u200d",
    "\u00ad",
    "\ufeff",
    "\u2060",
    "\ufe0f",
    "\u202e",
    "\u034f",
    "\x00",
    "\x7f",
    "\U000e0041",
)
SPACES = ("  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\u2009", " \u200b ")


@pytest.fixture(scope="module")
def static() -> StaticFeatures:
    return StaticFeatures.pretrained(FOLDED)


@pytest.mark.parametrize(
    "other",
    [
        *(each.join(TEXT) for each in INVISIBLES),
        *(TEXT.replace(" ", each) for each in SPACES),
        f"\n {TEXT}\t",
        *(unicodedata.normalize(form, TEXT) for form in ("NFC", "NFD", "NFKC", "NFKD")),
        TEXT.replace("Fi", "ﬁ"),
        TEXT.replace("cafe\u0301", "cafe\u200d\u0301"),
        "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in TEXT),
        TEXT.upper(),
        TEXT.lower(),
        TEXT.swapcase(),
    ],
)
def test_texts_that_look_alike_have_the_same_features(static: StaticFeatures, other: str) -> None:
    assert np.array_equal(static.row(other), static.row(TEXT)), ascii(other)


def test_case_is_kept_where_the_card_says_so() -> None:
    assert KEPT.apply("Straße  \u200bX") == "Straße X"
    assert FOLDED.apply("Straße  \u200bX") == "strasse x"


def test_what_is_seen_is_kept() -> None:
    # Arabic number sign, an emoji, a Braille cell, a combining mark of its own.
    for seen in ("\u0600", "😀", "\u2803", "q\u0323", "a-b", "a.b"):
        assert FOLDED.apply(seen) == seen


# Letters that fold, marks, invisible characters, white space, and what is decomposed to several characters.
AWKWARD = (
    "aAe\u017f\u00df\u0130\u0131\ufb01\u03a3\u03c2\u0345\u0301\u0323\u200b\u200d\u00ad\ufe0f \t\u00a0\uffa0\u3164\ufdfa"
)


@given(st.text() | st.text(st.sampled_from(AWKWARD)))
def test_to_normalise_again_changes_nothing_and_follows_unicode(text: str) -> None:
    for normalisation in (FOLDED, KEPT):
        once = normalisation.apply(text)
        assert normalisation.apply(once) == once
        assert unicodedata.is_normalized("NFKC", once)
        assert not INVISIBLE.search(once)
        assert once == " ".join(once.split())
        assert normalisation.apply(unicodedata.normalize("NFKC", text)) == once
        assert normalisation.apply("\u200b".join(text)) == once
    assert FOLDED.apply(KEPT.apply(text).casefold()) == FOLDED.apply(text)


def test_limits_hold_after_normalisation(static: StaticFeatures) -> None:
    longest = "\ufdfa"  # becomes 18 characters
    static.limit(max_characters=1800, max_pixels=1)
    try:
        assert len(FOLDED.apply(longest * 100)) == 1800
        static.row(longest * 100)
        with pytest.raises(TextTooLongError, match="at most 1800 characters when normalised, got 1818"):
            static.row(longest * 101)
        with pytest.raises(TextTooLongError, match="at most 1800 characters, got 1801"):
            static.row("a" + " " * 1800)
    finally:
        static.limit(max_characters=100_000, max_pixels=1)
    with pytest.raises(InvalidInputError, match="got an empty one"):
        static.row("\u200b \u00ad\t")


def test_runs_of_combining_marks_do_not_take_quadratic_time(static: StaticFeatures) -> None:
    assert FOLDED.apply("a" + "\u0301" * MOST_MARKS)
    for hostile in ("a" + "\u0301" * 50_000 + "\u0323" * 49_999, "\u0f81" * 100_000, "\u0301\u200b" * 50_000):
        started = time.process_time()
        with pytest.raises(InvalidInputError, match=f"at most {MOST_MARKS} combining marks in a row"):
            static.row(hostile)
        # Put in order by Python's own normalisation, they take 7 to 15 seconds.
        assert time.process_time() - started < 2

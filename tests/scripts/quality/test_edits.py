"""Every edit makes another text that is the same for the same seed, and takes any text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.normalisation import Normalisation
from scripts.quality.edits import EDITS, Edit

TEXT = (
    "os.open: Open the file given by path and return a new number; for example 3. If it does not exist, raise an error."
)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_it_changes_a_text_the_same_way_for_the_same_seed(edit: Edit) -> None:
    copy = edit.apply(TEXT, np.random.default_rng(1))
    assert copy != TEXT
    assert copy == edit.apply(TEXT, np.random.default_rng(1))
    # Still about the same: most of its letters are there.
    assert len(copy) > 0.6 * len(TEXT)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
@settings(max_examples=20)
@given(text=st.text(max_size=60), seed=st.integers(0, 2**32))
def test_it_takes_any_text(edit: Edit, text: str, seed: int) -> None:
    assert isinstance(edit.apply(text, np.random.default_rng(seed)), str)


def test_white_space_and_case_are_all_that_their_edits_change() -> None:
    normal = Normalisation().apply(TEXT)
    for edit in EDITS:
        if edit.name in ("white space", "case"):
            assert Normalisation().apply(edit.apply(TEXT, np.random.default_rng(3))) == normal


def test_there_are_edits_of_both_kinds_each_with_a_name_of_its_own() -> None:
    assert len({edit.name for edit in EDITS}) == len(EDITS)
    assert sum(edit.trained for edit in EDITS) >= 5
    assert sum(not edit.trained for edit in EDITS) >= 5

"""Near-copies of texts: places by hand, thresholds from the development texts, and a whole cell."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.features.vector import VectorFeatures
from models.training import config
from scripts.quality import near_copies
from scripts.quality.edits import EDITS
from scripts.quality.near_copies import Corpus, Method, first_places, mix_copies
from scripts.quality.plan import Plan
from scripts.quality.removal import Groups, sweep
from scripts.quality.results import Cell
from scripts.quality.rivals import pairs_within

WORDS = "open close read write the a file value number list return call function for with and error name all get"


def texts(number: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(WORDS.split(), 14))}, {place}-{seed}." for place in range(number)]


class Letters(VectorFeatures):
    """A text becomes the counts of the letters a to h."""

    def __init__(self) -> None:
        super().__init__(8)

    def row(self, document: object, query: bool = False) -> np.ndarray:
        return np.array([str(document).count(letter) for letter in "abcdefgh"], np.float32)


def corpus(distances: list[list[int]], injected: list[tuple[int, int]], natural: list[tuple[int, int]]) -> Corpus:
    pairs = np.array(injected, np.intp).reshape(-1, 2)
    true = np.concatenate([pairs, np.array(natural, np.intp).reshape(-1, 2)])
    edits = [EDITS[0], EDITS[-1]] * len(pairs)
    return Corpus(["x"] * len(distances), np.array(distances, np.float32), pairs, edits[: len(pairs)], true)


def test_first_places_share_ties_and_count_natural_partners() -> None:
    # Copy 1 of 0: 0 and 2 are both nearest, at 1. Copy 4 of 3: its natural partner 2 is nearest.
    distances = np.array(
        [[0, 1, 9, 9, 9], [1, 0, 1, 9, 9], [9, 1, 0, 9, 2], [9, 9, 9, 0, 5], [9, 9, 2, 5, 0]], np.float32
    )
    assert first_places(distances, corpus(distances.tolist(), [(0, 1), (3, 4)], [(2, 4)])).tolist() == [0.5, 1.0]
    assert first_places(distances, corpus(distances.tolist(), [(0, 1), (3, 4)], [])).tolist() == [0.5, 0.0]


def test_copies_are_edits_of_texts_of_their_own_and_lie_anywhere() -> None:
    plain = texts(60)
    mixed = mix_copies(plain, 30, Letters(), np.random.default_rng(0))
    assert len(mixed.texts) == 90
    assert set(plain) <= set(mixed.texts)
    assert len({int(place) for place in mixed.injected.ravel()}) == 60
    assert {mixed.edits.count(edit) for edit in EDITS} == {2}
    for original, copy in mixed.injected:
        assert mixed.texts[original] in plain
        assert mixed.texts[copy] != mixed.texts[original]
    assert mixed.rows.tolist() == [Letters().row(text).tolist() for text in mixed.texts]
    assert mixed.injected[:, 1].tolist() != sorted(mixed.injected[:, 1].tolist())
    assert {tuple(pair) for pair in mixed.injected} <= {tuple(pair) for pair in mixed.true}


def test_the_threshold_is_that_of_the_development_texts() -> None:
    # There, distance 3 joins the copies and nothing else; in the texts that are measured, it joins strangers as well.
    development = corpus([[0, 3, 9, 9], [3, 0, 9, 9], [9, 9, 0, 3], [9, 9, 3, 0]], [(0, 1), (2, 3)], [])
    measured = corpus([[0, 1, 9, 9, 3], [1, 0, 9, 9, 9], [9, 9, 0, 3, 9], [9, 9, 3, 0, 9], [3, 9, 9, 9, 0]],
                      [(0, 1), (2, 3)], [])  # fmt: skip

    def groups(given: Corpus, distances: np.ndarray) -> Iterator[tuple[float, Groups]]:
        pairs, apart = pairs_within(distances)
        return sweep(len(distances), pairs, apart, [0, 1, 2, 3, 4])

    method = Method("by hand", 8, lambda given: given.rows, groups)
    figures = near_copies._figures(Cell("near-copies/hand", 5, None, 0), method, (development, measured))
    assert figures.values["threshold"] == 3
    assert figures.values["recall"] == 1.0
    assert figures.values["precision"] == pytest.approx(2 / 3)
    assert figures.values["F1"] == pytest.approx(0.8)
    assert (figures.values["removed"], figures.values["largest group"]) == (3, 3)
    assert (figures.values["first"], figures.values["first: typos"]) == (1.0, 1.0)


def test_a_whole_cell(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(config, "MINIMUM_STEPS", 4)
    monkeypatch.setattr(near_copies, "read_texts", lambda name: texts(240))
    plan = Plan(tmp_path, tmp_path, bits=[16], seeds=1, copies=15)
    (figures,) = near_copies.measure("near-copies/docstrings", plan)
    assert figures[0].method == "trained"
    named = {each.method: each for each in figures}
    assert {"PCA-ITQ", "random projections", "MinHash", "MinHash, a bit of each", "semhash, same vectors"} <= set(named)
    # The texts are unlike each other, and most edits change little: MinHash tells them apart.
    assert named["MinHash"].values["first"] > 0.9
    assert named["MinHash"].bits == 32 * 128
    for each in figures:
        assert set(each.values) >= {"recall", "precision", "F1", "first, trained edits", "found: markup"}
    assert list(near_copies.measure("near-copies/docstrings", Plan(tmp_path, tmp_path, wants=lambda cell: False))) == []


def test_what_is_not_installed_is_named_without_figures(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(config, "MINIMUM_STEPS", 4)
    monkeypatch.setattr(near_copies, "read_texts", lambda name: texts(120))
    monkeypatch.setattr(near_copies.rivals, "installed", lambda package: False)
    (figures,) = near_copies.measure("near-copies/manpages", Plan(tmp_path, tmp_path, bits=[16], seeds=1, copies=15))
    missing = [each for each in figures if not each.values]
    assert [each.method for each in missing] == ["MinHash", "semhash, same vectors"]
    assert all("pip install" in each.note for each in missing)

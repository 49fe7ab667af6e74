"""Altered pictures: places by hand, and a whole cell."""

import numpy as np
import pytest
from PIL import Image

from models.training import config
from scripts.quality import altered
from scripts.quality.alterations import ALTERATIONS
from scripts.quality.altered import first_places
from scripts.quality.plan import Plan
from scripts.quality.rivals import installed


def test_places_share_ties_and_any_equal_picture_is_right() -> None:
    distances = np.array([[0, 0, 5], [4, 1, 1], [3, 2, 1]])
    # The first ties with another picture, the second is beaten by none, the third's original comes last.
    assert first_places(distances, np.array([0, 1, 2]), np.array([0, 1, 0])) == pytest.approx((0.5 + 0.5 + 0) / 3)
    # Pictures 0 and 1 are equal.
    assert first_places(distances, np.array([0, 0, 1]), np.array([0, 1, 0])) == pytest.approx((1 + 0.5 + 0) / 3)


def test_a_whole_cell(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(config, "MINIMUM_STEPS", 4)
    monkeypatch.setattr(altered, "SIDE", 8)
    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize((48, 48), Image.Resampling.BICUBIC)
        for _ in range(60)
    ]
    monkeypatch.setattr(altered, "read_pictures", lambda name: pictures)
    plan = Plan(tmp_path, tmp_path, bits=[32], seeds=1, altered=4, collection=50)
    (figures,) = altered.measure("altered/stamps", plan)
    named = {each.method: each for each in figures}
    assert list(named) == ["trained", "PCA-ITQ", "PCA sign", "random projections", "pHash", "dHash", "wHash", "PDQ"]
    assert named["trained"].cell.items == 50
    for name, each in named.items():
        if name == "PDQ" and not installed("pdqhash"):
            assert "pip install" in each.note
            continue
        shares = [each.values[alteration.name] for alteration in ALTERATIONS]
        assert each.values["all"] == pytest.approx(np.mean(shares))
        kinds = each.values["trained kinds"], each.values["other kinds"]
        assert np.average(kinds, weights=[10, len(ALTERATIONS) - 10]) == pytest.approx(each.values["all"])
    assert named["dHash"].values["JPEG"] == 1.0
    assert named["pHash"].values["all"] > 0.6

from pathlib import Path

import numpy as np
import pytest
import torch

from models import itq
from models.errors import InvalidInputError
from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation
from models.evaluation.split import split
from models.rows import Selection
from models.training.config import Config
from models.training.loop import fit
from models.training.prepare import draw_sample

torch.set_num_threads(1)
ITEMS = 40_000


def test_rows_that_lie_on_disk_are_never_read_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(itq, "SAMPLE", 2000)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((ITEMS, 8)).astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    sizes = []
    read = Selection.__getitem__

    def watched(self: Selection, places: slice) -> np.ndarray:
        rows = read(self, places)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr(Selection, "__getitem__", watched)
    config = Config(bits=8, epochs=1, hidden=8, sample=1500)
    parts = split(mapped, None, 0.2, 20)
    sample = draw_sample(parts.base, config)
    trained = fit(sample, config)
    evaluation = Evaluation(parts)
    for name, encode in baselines(parts.base, 8).items():
        assert evaluation.codes(name, encode).recall_10_at_100 > 0
    assert len(sample.inputs) == 1500
    assert len(trained.history.losses["total"]) == config.steps(1500)
    assert sum(sizes) > 5 * ITEMS
    assert max(sizes) < ITEMS / 2


def test_the_projection_is_that_of_all_rows_whatever_is_drawn() -> None:
    features = (np.random.default_rng(0).standard_normal((3000, 6)) * np.arange(1, 7)).astype(np.float32)
    few, whole = (draw_sample(features, Config(sample=size)) for size in (100, 5000))
    assert np.array_equal(few.projection.directions, whole.projection.directions)
    assert len(whole.inputs) == 3000
    assert float(whole.inputs.square().mean()) == pytest.approx(1, rel=1e-4)
    drawn = {row.tobytes() for row in few.features.numpy()}
    assert len(drawn) == 100
    assert drawn < {row.tobytes() for row in features}
    again = draw_sample(features, Config(sample=100))
    assert torch.equal(again.features, few.features)


def test_too_few_items_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least 20 items to train on, got 19"):
        draw_sample(np.random.default_rng(0).standard_normal((19, 4)).astype(np.float32), Config())

"""The criterion table on items of four clusters, with few passes."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import InvalidInputError
from models.training import candidates
from scripts import evaluate
from scripts.tables import criterion
from scripts.tables.criterion import Tried, correlations


def test_every_candidate_of_every_cell_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(candidates, "NETWORKS", {"a": (0.5, {}), "b": (0.25, {"smoothed_similarity": 0.9})})
    monkeypatch.setattr(criterion, "BITS", (8,))
    monkeypatch.setattr(criterion, "ITEMS", (80, 2000))
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, 300)
    vectors = (2 * rng.standard_normal((4, 9))[which] + rng.standard_normal((300, 9))).astype(np.float32)
    np.savez(tmp_path / "v.npz", x=vectors, y=which)
    criterion.print_criterion_table(evaluate.parse(["--criterion-table", str(tmp_path / "v.npz")]))
    shown = capsys.readouterr().out
    for words in ("80 items, 8 bits", "150 items, 8 bits", "PCA sign", "random projections", "P@100 gained"):
        assert words in shown
    assert "all candidates (10): P@10" in shown
    assert "networks of a cell (4): P@10" in shown


def test_correlations_by_hand() -> None:
    """Within the cells the score and the second column fall together; the cells' means hide it."""
    rows = [("one", 1.0, 0.0), ("one", 2.0, 1.0), ("two", 11.0, -9.0), ("two", 12.0, -8.0)]
    found = [Tried(cell, "n", True, score, (score, gain, -score)) for cell, score, gain in rows]
    first, second = correlations(found).splitlines()
    assert "all candidates (4): P@10 1.00, P@100 -0.9" in first
    assert second.endswith("networks of a cell (4): P@10 1.00, P@100 1.00, mAP@1000 -1.00")


def test_data_without_labels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((100, 9), np.float32))
    with pytest.raises(InvalidInputError, match="expected labels to compare with, got none in"):
        criterion.print_criterion_table(evaluate.parse(["--criterion-table", str(tmp_path / "v.npy")]))

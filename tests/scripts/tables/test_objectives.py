import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation
from models.training import config
from scripts import evaluate
from scripts.tables import objectives
from scripts.tables.objectives import DEFAULT, print_benchmark, recipes

torch.set_num_threads(1)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "MINIMUM_STEPS", 4)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    np.savez(tmp_path / "tiny.npz", x=(labels[:, None] + rng.standard_normal((200, 10))).astype(np.float32), y=labels)
    return tmp_path / "tiny.npz"


def _arguments(data: Path, *more: str) -> argparse.Namespace:
    return evaluate.parse([*("--benchmark", str(data), "--json", str(data.with_suffix(".json"))), *more])


def test_every_method_is_in_the_table_of_its_length(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_benchmark(_arguments(tiny, "--bits", "8", "64", "--objectives", "hashing", "sparse"))
    figures = json.loads(tiny.with_suffix(".json").read_text())
    taken_apart = [name for name, _ in recipes(64, [DEFAULT])]
    assert len(taken_apart) == 6
    short = ["hashing", "sparse", "PCA-ITQ", "PCA sign", "random projections"]
    assert [row["name"] for row in figures["bits"]["8"]] == short
    linear = ["PCA-ITQ", "unrotated sign", "random projections"]
    assert [row["name"] for row in figures["bits"]["64"]] == [*taken_apart, "sparse", *linear]
    shown = capsys.readouterr().out
    assert "20 queries against 180 items" in shown
    for table in figures["bits"].values():
        for row in table:
            assert f"{row['precision_at_10']:.4f}" in shown
    floats = figures["floats"]
    assert floats["recall_10_at_10"] == 1.0
    assert floats["precision_at_10"] > 0.3


def test_queries_are_the_test_part_and_for_validation_come_out_of_the_rest(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = objectives.open_dataset
    monkeypatch.setattr(objectives, "open_dataset", lambda *given: replace(opened(*given), test=30))
    seen = []

    class Watched(Evaluation):
        def __init__(self, data, track) -> None:  # type: ignore[no-untyped-def]
            seen.append(data)
            super().__init__(data, track)

    monkeypatch.setattr(objectives, "Evaluation", Watched)
    print_benchmark(_arguments(tiny, "--bits", "8", "--objectives", "sparse"))
    print_benchmark(_arguments(tiny, "--bits", "8", "--objectives", "sparse", "--validation"))
    features = np.load(tiny)["x"]
    assert np.array_equal(seen[0].queries, features[170:])
    assert len(seen[1].queries) == 17
    assert len(seen[1].base) == 153
    together = np.concatenate([seen[1].base[:], seen[1].queries])
    assert {row.tobytes() for row in together} == {row.tobytes() for row in features[:170]}
    figures = json.loads(tiny.with_suffix(".json").read_text())
    itq = Evaluation(seen[1]).codes("PCA-ITQ", baselines(seen[1].base, 8)["PCA-ITQ"])
    assert figures["bits"]["8"][1]["recall_10_at_100"] == itq.recall_10_at_100


def test_one_thing_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ([], ["hasher"], ["--contractive-table", "--benchmark", "digits"]):
        with pytest.raises(SystemExit) as stopped:
            evaluate.parse(wrong)
        assert stopped.value.code == 2
        assert "expected HASHER and DATA, or one of --benchmark DATA and" in capsys.readouterr().err

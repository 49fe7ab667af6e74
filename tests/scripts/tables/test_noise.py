"""The noise table on random vectors, with few passes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.geometry import jacobians, mean_squared_norm
from models.training.network import ResidualMap
from models.training.prepare import draw_sample
from scripts import evaluate
from scripts.tables import noise


def test_every_encoder_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {name: replace(config, epochs=1, hidden=8) for name, config in noise.CONFIGS.items()}
    monkeypatch.setattr(noise, "CONFIGS", short)
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((120, 12)).astype(np.float32))
    noise.print_noise_table(evaluate.parse(["--noise-table", str(tmp_path / "v.npy")]))
    shown = capsys.readouterr().out
    assert "120 items, 12 inputs, 32 bits" in shown
    assert all(name in shown for name in noise.CONFIGS)


def test_along_and_across_make_up_the_norm() -> None:
    """The variances of the differences weigh the directions, which together span the inputs."""
    features = (np.random.default_rng(0).standard_normal((120, 6)) * np.arange(1, 7)).astype(np.float32)
    sample = draw_sample(features, noise.CONFIGS["contractive"])
    torch.manual_seed(0)
    encoder = ResidualMap(6, 0, 8)
    row = noise.measure(encoder, sample)
    found = jacobians(encoder, sample.inputs[: noise.MEASURED])
    differences = (sample.inputs[:, None] - sample.inputs[sample.graph]).reshape(-1, 6)
    steps = (found @ differences.T).square().sum(dim=1).mean()
    assert row.along == pytest.approx(float(steps / differences.square().sum(dim=1).mean()), rel=1e-4)
    assert row.norm == pytest.approx(mean_squared_norm(found))

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_digits

from models.training.config import Config
from models.training.fista import infer
from models.training.loop import fit
from models.training.prepare import draw_sample
from models.training.terms.prediction import PULL, SPARSITY


@pytest.mark.parametrize(("sparsity", "pull"), [(0.0, 0.1), (0.5, 1.0), (4.0, 0.3)])
def test_fista_agrees_with_a_slow_solver(sparsity: float, pull: float) -> None:
    rng = np.random.default_rng(0)
    dictionary, inputs, predicted = rng.standard_normal((9, 6)), rng.standard_normal((5, 9)), rng.random((5, 6))
    tensors = (torch.from_numpy(array) for array in (inputs, dictionary, predicted))
    found = infer(*tensors, sparsity, pull, iterations=2000).numpy()
    for row, start, ours in zip(inputs, predicted, found, strict=True):

        def loss(h: np.ndarray, row: np.ndarray = row, start: np.ndarray = start) -> float:
            error = np.square(row - dictionary @ h).sum()
            return float(error + sparsity * np.abs(h).sum() + pull * np.square(h - start).sum())

        slow = minimize(loss, start, method="L-BFGS-B", bounds=[(0, 1)] * 6, options={"ftol": 1e-15, "gtol": 1e-9})
        assert np.allclose(ours, slow.x, atol=1e-4)
        assert loss(ours) <= slow.fun + 1e-9


def test_more_sparsity_gives_fewer_units() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, dictionary = torch.randn(20, 9, generator=generator), torch.randn(9, 12, generator=generator)
    active = [float((infer(inputs, dictionary, torch.full((20, 12), 0.5), weight, 0.1) > 0).float().mean())
              for weight in (0.0, 2.0, 8.0)]  # fmt: skip
    assert active[0] > active[1] > active[2]


def test_the_encoder_comes_to_predict_what_inference_finds() -> None:
    features = (load_digits().data / 16).astype(np.float32)
    gaps = []
    for epochs in (0, 30):
        trained = fit(draw_sample(features, config := Config(32, "predictive-sparse", epochs=epochs)), config)
        layer = trained.network.decoder.linear
        inputs = torch.from_numpy(trained.projection.forward(features))
        with torch.no_grad():
            predicted = torch.sigmoid(trained.network.encoder(inputs))
            offset = layer.bias - layer.weight.sum(dim=1)
            inferred = infer(inputs - offset, 2 * layer.weight, predicted, SPARSITY, PULL, iterations=500)
        gaps.append(float((inferred - predicted).square().mean()))
    assert gaps[1] < gaps[0] / 3

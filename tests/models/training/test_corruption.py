"""Noise along the differences between neighbours: what it is made of, and what it does to the encoder's Jacobian."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models.errors import InvalidInputError
from models.training.config import Config
from models.training.corruption import Corruption, neighbour_differences
from models.training.geometry import jacobians
from models.training.loop import fit
from models.training.prepare import draw_sample
from models.training.sample import Sample

torch.set_num_threads(1)
LEVEL = 0.5


@pytest.fixture(scope="module")
def sample() -> Sample:
    return draw_sample((load_digits().data / 16).astype(np.float32), Config())


def test_noise_is_a_difference_between_an_item_and_one_of_its_neighbours(sample: Sample) -> None:
    rows = torch.arange(40)
    noise = Corruption("manifold", LEVEL).inputs(sample, rows, torch.Generator().manual_seed(0)) - sample.inputs[rows]
    differences = (sample.inputs[:, None] - sample.inputs[sample.graph]).reshape(-1, sample.inputs.shape[1])
    both = LEVEL * torch.cat([differences, -differences])
    nearest = torch.cdist(noise, both, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1).values
    assert float(nearest.max()) < 1e-5
    assert float(noise.square().sum(dim=1).min()) > 0


def test_its_mean_is_zero_and_its_covariance_that_of_the_differences(sample: Sample) -> None:
    drawn = neighbour_differences(sample, 100_000, torch.Generator().manual_seed(0))
    differences = (sample.inputs[:, None] - sample.inputs[sample.graph]).reshape(-1, sample.inputs.shape[1])
    expected = differences.T @ differences / len(differences)
    assert float(drawn.mean(dim=0).abs().max()) < 5 * float((expected.diagonal().max() / len(drawn)).sqrt())
    assert float((drawn.T @ drawn / len(drawn) - expected).norm() / expected.norm()) < 0.05


def test_to_first_order_it_is_a_contractive_penalty_that_weighs_directions(sample: Sample) -> None:
    """`E |r(x + s e) - x|^2 - |r(x) - x|^2 = s^2 E |J e|^2` for a linear map, for which the first order is all."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn((sample.inputs.shape[1], sample.inputs.shape[1]), generator=generator) / 8
    rows = torch.randint(len(sample.inputs), (200_000,), generator=generator)
    clean = sample.inputs[rows]
    seen = Corruption("manifold", LEVEL).inputs(sample, rows, generator)
    grown = float(
        ((seen @ matrix.T - clean).square().sum(dim=1) - (clean @ matrix.T - clean).square().sum(dim=1)).mean()
    )
    differences = (sample.inputs[:, None] - sample.inputs[sample.graph]).reshape(-1, sample.inputs.shape[1])
    penalty = LEVEL**2 * float((differences @ matrix.T).square().sum(dim=1).mean())
    assert grown == pytest.approx(penalty, rel=0.03)


def test_the_jacobian_shrinks_along_the_differences_and_not_across_them(sample: Sample) -> None:
    """The plain objective, with and without the noise; Gaussian noise and contraction shrink it in every direction."""
    differences = (sample.inputs[:, None] - sample.inputs[sample.graph]).reshape(-1, sample.inputs.shape[1])
    variances, directions = torch.linalg.eigh(differences.T @ differences / len(differences))
    # Across: the directions that together hold a tenth of what neighbours differ by.
    across = directions[:, variances.cumsum(0) < 0.1 * variances.sum()]

    def answers(config: Config) -> tuple[float, float]:
        """`E |J e|^2 / E |e|^2` for differences e of neighbours, and for steps e across them."""
        found = jacobians(fit(sample, config).network.encoder, sample.inputs[:200])
        along = ((found @ directions).square() * variances).sum(dim=(1, 2)).mean()
        return float(along / variances.sum()), float((found @ across).square().sum(dim=(1, 2)).mean() / across.shape[1])

    plain = answers(Config(32, "undercomplete", 20))
    shaped = answers(Config(32, "undercomplete", 20, corruption=Corruption("manifold", LEVEL)))
    gaussian = answers(Config(32, "undercomplete", 20, corruption=Corruption("gaussian", 0.3)))
    assert shaped[0] < 0.6 * plain[0]
    assert shaped[1] > 0.9 * plain[1]
    assert gaussian[0] < 0.6 * plain[0]
    assert gaussian[1] < 0.3 * plain[1]


def test_levels_are_checked() -> None:
    assert Corruption("manifold", 2.0).level == 2.0
    for level in (-0.1, float("inf"), float("nan")):
        with pytest.raises(InvalidInputError, match="gaussian and manifold: 0 or more"):
            Corruption("manifold", level)
    with pytest.raises(InvalidInputError, match="expected a level of 0 to 1"):
        Corruption("masking", 2.0)

import numpy as np
import pytest
import torch

from models.training import geometry
from models.training.config import Config
from models.training.loop import fit
from models.training.network import Autoencoder
from models.training.prepare import draw_sample


def _network(hidden: int) -> Autoencoder:
    network = Autoencoder(5, 8, hidden, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def test_jacobian_of_one_layer_is_the_closed_form() -> None:
    network, inputs = _network(0), torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    units = torch.sigmoid(network.encoder(inputs)).detach()
    weight = network.encoder.linear.weight.detach()
    expected = (units * (1 - units))[:, :, None] * weight
    found = geometry.jacobians(network.encoder, inputs)
    assert torch.allclose(found, expected, atol=1e-6)
    assert geometry.mean_squared_norm(found) == pytest.approx(float(expected.square().sum()) / 4, rel=1e-5)


def test_jacobian_of_a_deep_encoder_is_the_difference_quotient() -> None:
    encoder = _network(16).double().encoder
    inputs = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = geometry.jacobians(encoder, inputs)
    step = 1e-6
    for column in range(5):
        shift = torch.zeros(5, dtype=torch.float64)
        shift[column] = step
        difference = torch.sigmoid(encoder(inputs + shift)) - torch.sigmoid(encoder(inputs - shift))
        assert torch.allclose(found[:, :, column], difference / (2 * step), atol=1e-6)


def test_spectrum_by_hand() -> None:
    jacobian = torch.zeros(2, 3, 4)
    jacobian[0, 0, 1], jacobian[0, 1, 0], jacobian[0, 2, 3] = 6.0, 3.0, 1.0
    singular = geometry.singular_values(jacobian)
    assert torch.allclose(singular, torch.tensor([[6.0, 3.0, 1.0], [0.0, 0.0, 0.0]]))
    assert geometry.values_that_hold(singular, 0.9).tolist() == [2, 0]
    assert geometry.values_that_hold(singular, 0.91).tolist() == [3, 0]
    directions, values = geometry.tangent_directions(jacobian, 2)
    assert torch.allclose(directions[0].abs(), torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0]]), atol=1e-6)
    assert values[0].tolist() == pytest.approx([6, 3])


def test_saturated_units_are_counted_at_both_ends() -> None:
    assert geometry.saturated_share(torch.tensor([[0.01, 0.5, 0.96, 0.06], [0.04, 0.99, 0.94, 0.5]])) == 0.5


@pytest.mark.parametrize("hidden", [0, 32])
def test_tangent_directions_of_a_trained_encoder_lie_in_the_plane_of_the_data(hidden: int) -> None:
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.standard_normal((12, 12)))[0][:2]
    points = rng.standard_normal((600, 2)) @ plane + 0.01 * rng.standard_normal((600, 12))
    config = Config(16, "contractive", epochs=200, hidden=hidden, start="random", weights={"contraction": 0.1})
    trained = fit(draw_sample(points.astype(np.float32), config), config)
    inputs = torch.from_numpy(trained.projection.forward(points[:50].astype(np.float32)))
    directions, _ = geometry.tangent_directions(geometry.jacobians(trained.network.encoder, inputs), 2)
    # Inputs are principal components: the plane is the first two of them.
    inside = directions[:, :, :2].square().sum(dim=2)
    assert float(inside.mean()) > 0.99

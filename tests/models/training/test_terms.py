import numpy as np
import pytest
import torch

from models.training.config import Config
from models.training.corruption import Corruption
from models.training.network import Autoencoder, binary_code, sigmoid_code
from models.training.prepare import draw_sample
from models.training.terms.balance import Balance, Decorrelation
from models.training.terms.contraction import Contraction, closed_form
from models.training.terms.decay import WeightDecay
from models.training.terms.neighbourhood import (
    SMOOTHED_TEMPERATURE,
    Similarity,
    SmoothedSimilarity,
    beta_for_perplexity,
)
from models.training.terms.reconstruction import Reconstruction
from models.training.terms.sparsity import GaussianSparsity, Sparsity
from models.training.terms.step import Data, Step


def step_of(network: Autoencoder, inputs: torch.Tensor) -> Step:
    logits = network.encoder(inputs)
    return Step(network, torch.arange(len(inputs)), inputs.detach(), inputs, logits, sigmoid_code(logits))


def data_of(network: Autoencoder, inputs: torch.Tensor) -> Data:
    generator = torch.Generator().manual_seed(0)
    sample = draw_sample(np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32), Config())
    return Data(sample, network, lambda: torch.arange(len(inputs)), generator)


def random_network(hidden: int, tied: bool = False) -> Autoencoder:
    torch.manual_seed(0)
    network = Autoencoder(6, 8, hidden, seed=0, tied=tied)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def frobenius_by_autograd(network: Autoencoder, inputs: torch.Tensor) -> float:
    jacobians = [
        torch.autograd.functional.jacobian(lambda x: torch.sigmoid(network.encoder(x[None]))[0], row) for row in inputs
    ]
    return float(torch.stack(jacobians).square().sum(dim=(1, 2)).mean())


@pytest.mark.parametrize("tied", [False, True])
def test_closed_form_of_contraction_equals_autograd(tied: bool) -> None:
    network, inputs = random_network(0, tied), torch.randn(5, 6)
    expected = frobenius_by_autograd(network, inputs)
    value = closed_form(torch.sigmoid(network.encoder(inputs)), network.encoder.linear.weight)
    assert float(value.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(Contraction(data_of(network, inputs))(step_of(network, inputs)).detach()) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("tied", [False, True])
def test_estimate_of_contraction_is_unbiased_for_a_deep_encoder(tied: bool) -> None:
    network, inputs = random_network(16, tied), torch.randn(5, 6).requires_grad_()
    term = Contraction(data_of(network, inputs))
    draws = [float(term(step_of(network, inputs)).detach()) for _ in range(2000)]
    error = np.std(draws) / np.sqrt(len(draws))
    assert np.mean(draws) == pytest.approx(frobenius_by_autograd(network, inputs.detach()), abs=4 * error)


@pytest.mark.parametrize(("tied", "count"), [(True, 1), (False, 2)])
def test_weight_decay_counts_matrices_and_not_biases(tied: bool, count: int) -> None:
    network = Autoencoder(6, 8, 0, seed=0, tied=tied)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(2.0)
    inputs = torch.randn(5, 6)
    value = WeightDecay(data_of(network, inputs))(step_of(network, inputs))
    assert float(value.detach()) == 4 * 6 * 8 * count


def test_simple_terms_by_hand() -> None:
    network, inputs = random_network(0), torch.randn(5, 6)
    step, data = step_of(network.requires_grad_(False), inputs), data_of(network, inputs)
    activations = torch.sigmoid(step.logits)
    assert float(Sparsity(data)(step)) == pytest.approx(float(activations.sum()) / 5, rel=1e-6)
    rebuilt = network.decoder(2 * activations - 1)
    assert float(Reconstruction(data)(step)) == pytest.approx(float((rebuilt - inputs).square().mean()), rel=1e-5)
    soft = (2 * activations - 1).detach().numpy()
    assert float(Balance(data)(step)) == pytest.approx(float(np.square(soft.mean(axis=0)).mean()), rel=1e-4)
    covariance = np.cov(soft.T, bias=True)
    np.fill_diagonal(covariance, 0)
    assert float(Decorrelation(data)(step)) == pytest.approx(float(np.square(covariance).mean()), rel=1e-4)


@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_sparsity_is_the_log_density_of_its_prior_up_to_a_constant(strength: float) -> None:
    network, inputs = random_network(0), torch.randn(5, 6)
    data, units = data_of(network, inputs), torch.sigmoid(network.encoder(inputs)).detach()
    for term, prior in (
        (Sparsity, torch.distributions.Laplace(0.0, 1 / strength)),
        (GaussianSparsity, torch.distributions.Normal(0.0, (2 * strength) ** -0.5)),
    ):
        penalty = strength * float(term(data)(step_of(network, inputs)).detach())
        density = float(prior.log_prob(units).sum(dim=1).mean())
        constant = 8 * float(prior.log_prob(torch.tensor(0.0)))
        assert density == pytest.approx(constant - penalty, rel=1e-5)


def test_binary_code_is_cut_but_lets_the_gradient_through() -> None:
    logits = torch.tensor([[-2.0, 0.0, 0.5]], requires_grad=True)
    code = binary_code(logits)
    assert code.tolist() == [[-1.0, -1.0, 1.0]]
    code.sum().backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, (1 - torch.tanh(logits / 2) ** 2) / 2)


def test_perplexity_is_met() -> None:
    distances = torch.rand(40, 40) * 5
    beta = beta_for_perplexity([distances], 10)
    share = torch.softmax(-beta * distances, dim=1)
    assert float(torch.exp(-(share * share.log()).sum(dim=1).mean())) == pytest.approx(10, rel=1e-3)


def test_neighbourhood_terms_are_cross_entropies_of_softmaxes() -> None:
    network = random_network(16)
    data = data_of(network, torch.zeros(0, 6))
    data = Data(data.sample, network, lambda: torch.arange(40), data.generator)
    rows = torch.tensor([3, 8, 3, 20, 31])
    clean = data.sample.inputs[rows]
    logits = network.encoder(clean)
    step = Step(network, rows, clean, clean, logits, binary_code(logits))
    for term, points, temperature in (
        (Similarity(data), data.sample.inputs, None),
        (SmoothedSimilarity(data), torch.nn.functional.normalize(data.sample.smoothed, dim=1), SMOOTHED_TEMPERATURE),
    ):
        value = 0.0
        for i in range(5):
            others = [j for j in range(5) if rows[j] != rows[i]]
            near = torch.stack([-term._beta * (points[rows[i]] - points[rows[j]]).square().sum() for j in others])
            cosine = torch.stack([step.code[i] @ step.code[j] / 8 for j in others])
            said = torch.log_softmax(cosine / (temperature or term._temperature), dim=0)
            value -= float((torch.softmax(near, dim=0) * said).sum().detach()) / 5
        share = 1.0 if temperature is None else data.sample.shared**1.5
        assert float(term(step).detach()) == pytest.approx(share * value, rel=1e-4)


@pytest.mark.parametrize("kind", ["masking", "salt-and-pepper"])
def test_corruption_hits_the_share_it_is_told(kind: str) -> None:
    clean = torch.rand(500, 40) + 1
    damaged = Corruption(kind, 0.3)(clean, torch.Generator().manual_seed(0))
    hit = damaged != clean
    assert float(hit.float().mean()) == pytest.approx(0.3, abs=0.02)
    if kind == "masking":
        assert (damaged[hit] == 0).all()
    else:
        assert ((damaged == clean.amin(0)) | (damaged == clean.amax(0)))[hit].all()


def test_gaussian_corruption_has_the_level_it_is_told() -> None:
    clean = torch.rand(500, 40) * 7
    noise = Corruption("gaussian", 0.5)(clean, torch.Generator().manual_seed(0)) - clean
    assert float(noise.std()) == pytest.approx(0.5 * float(clean.std()), rel=0.03)

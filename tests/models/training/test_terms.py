import numpy as np
import pytest
import torch

from models.training.config import Config
from models.training.corruption import Corruption
from models.training.fista import infer
from models.training.network import Autoencoder, binary_code, sigmoid_code
from models.training.prepare import draw_sample
from models.training.terms.balance import Balance, Decorrelation
from models.training.terms.contraction import Contraction, closed_form
from models.training.terms.decay import WeightDecay
from models.training.terms.neighbourhood import (
    HIDDEN_VARIANCE_GAIN,
    PERPLEXITY,
    SHARED_VARIANCE_GAIN,
    SMOOTHED_TEMPERATURE,
    Similarity,
    SmoothedSimilarity,
    beta_for_perplexity,
    code_temperature,
)
from models.training.terms.prediction import PULL, SPARSITY, Prediction
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


def test_prediction_by_hand_and_no_column_outgrows_the_start() -> None:
    network, inputs = random_network(0), torch.randn(5, 6)
    term = Prediction(data_of(network, inputs))
    start = network.decoder.parts().weight.detach().clone()
    bound = float(start.norm(dim=0).mean())
    step = step_of(network, inputs)
    value = float(term(step).detach())
    weight = network.decoder.parts().weight.detach()
    assert torch.allclose(weight.norm(dim=0), start.norm(dim=0).clamp_max(bound))
    predicted = torch.sigmoid(step.logits).detach()
    bias = network.decoder.parts().bias.detach()

    def loss(h: torch.Tensor) -> float:
        error = (inputs - ((2 * h - 1) @ weight.T + bias)).square().sum()
        return float((error + SPARSITY * h.sum() + PULL * (h - predicted).square().sum()) / 5 / 6)

    assert value < loss(predicted)
    rng = torch.Generator().manual_seed(0)
    inferred = infer(inputs + weight.sum(dim=1) - bias, 2 * weight, predicted, SPARSITY, PULL, iterations=3000)
    assert value == pytest.approx(loss(inferred), rel=1e-3)
    for _ in range(20):
        nearby = (inferred + 0.05 * torch.randn(inferred.shape, generator=rng)).clamp(0, 1)
        assert loss(nearby) >= loss(inferred) - 1e-6


def test_code_temperature_rises_with_what_is_shared_and_with_what_is_hidden() -> None:
    network = random_network(0)
    sample = draw_sample(np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32), Config())
    data = Data(sample, network, lambda: torch.arange(40), torch.Generator())
    with torch.no_grad():
        codes = binary_code(network.encoder.linear(sample.inputs))
    cosines = codes @ codes.T / 8
    found = code_temperature(data, [torch.arange(40)])
    start = found / (1 + SHARED_VARIANCE_GAIN * sample.shared)
    share = torch.softmax((cosines / start).masked_fill(torch.eye(40, dtype=torch.bool), -1e9), dim=1)
    assert float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum(dim=1).mean())) == pytest.approx(
        PERPLEXITY, rel=0.01
    )
    narrow = Autoencoder(6, 4, 0, seed=0)
    hidden = sample.inputs.var(dim=0).sort(descending=True).values[4:].sum() / sample.inputs.var(dim=0).sum()
    with torch.no_grad():
        codes = binary_code(narrow.encoder.linear(sample.inputs)) / 2
    same = torch.eye(40, dtype=torch.bool)
    distances = (2 - 2 * codes @ codes.T).masked_fill(same, 1e30)
    start = 1 / (2 * beta_for_perplexity([distances], PERPLEXITY))
    expected = start * (1 + SHARED_VARIANCE_GAIN * sample.shared + HIDDEN_VARIANCE_GAIN * float(hidden) ** 2)
    narrow_data = Data(sample, narrow, lambda: torch.arange(40), torch.Generator())
    assert code_temperature(narrow_data, [torch.arange(40)]) == pytest.approx(expected, rel=1e-3)


def test_every_part_of_a_step_lies_where_the_code_does() -> None:
    network, rows = random_network(0).to("meta"), torch.tensor([0, 1, 1])
    clean = torch.zeros(3, 6, device="meta")
    logits = network.encoder(clean)
    step = Step(network, rows, clean, clean, logits, binary_code(logits))
    for part in (step.same, step.cosines, step.activations, step.soft_code):
        assert part.device.type == "meta"
    data = data_of(random_network(0), torch.zeros(0, 6))
    data = Data(data.sample, data.network, lambda: torch.arange(40), data.generator)
    for term in (Similarity(data), SmoothedSimilarity(data), Reconstruction(data), Balance(data), Decorrelation(data)):
        assert term(step).device.type == "meta"


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

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models.codes import pack
from models.errors import InvalidInputError
from models.itq import fit_itq
from models.training.config import Config
from models.training.loop import fit
from models.training.network import Autoencoder, binary_code, start_at_itq
from models.training.objectives import OBJECTIVES
from models.training.prepare import draw_sample

torch.set_num_threads(1)


def digits() -> np.ndarray:
    return (load_digits().data / 16).astype(np.float32)


@pytest.mark.parametrize("hidden", [0, 32])
def test_a_tied_decoder_is_the_encoder_transposed_after_training(hidden: int) -> None:
    features = digits()
    config = Config(bits=16, epochs=2, hidden=hidden, tied=True)
    network = fit(draw_sample(features, config), config).network
    encoder, decoder = network.encoder.parts(), network.decoder.parts()
    start = Autoencoder(*encoder.weight.shape[::-1], hidden, config.seed, tied=True)
    assert torch.equal(decoder.weight, encoder.weight.T)
    assert not torch.allclose(decoder.bias, start.decoder.parts().bias)
    code = binary_code(torch.randn(5, 16))
    expected = code @ encoder.weight + decoder.bias
    if hidden:
        assert torch.equal(decoder.branch.into, encoder.branch.back.T)
        assert torch.equal(decoder.branch.back, encoder.branch.into.T)
        assert not torch.equal(encoder.branch.back, torch.zeros(16, hidden))
        assert not torch.equal(decoder.branch.bias, torch.zeros(hidden))
        expected = expected + torch.relu(code @ encoder.branch.back + decoder.branch.bias) @ encoder.branch.into
    assert torch.allclose(network.decoder(code), expected, atol=1e-5)


def test_tied_weights_are_listed_and_saved_once() -> None:
    tied, untied = (Autoencoder(6, 8, 4, seed=0, tied=tied) for tied in (True, False))
    assert set(tied.state_dict()) == {
        "encoder.linear.weight",
        "encoder.linear.bias",
        "encoder.hidden.weight",
        "encoder.hidden.bias",
        "encoder.back.weight",
        "decoder.bias",
        "decoder.hidden_bias",
    }
    matrices = [sum(p.numel() for p in network.parameters() if p.ndim == 2) for network in (tied, untied)]
    assert matrices[1] == 2 * matrices[0] == 2 * (6 * 8 + 6 * 4 + 4 * 8)
    assert torch.equal(tied.encoder(torch.ones(1, 6)), untied.encoder(torch.ones(1, 6)))


@pytest.mark.parametrize("bits", [32, 128])
def test_a_tied_start_is_itq_at_the_least_squares_scale(bits: int) -> None:
    """64 inputs: at 128 bits the ITQ rotation is a frame."""
    sample = draw_sample(digits(), Config())
    network = Autoencoder(sample.inputs.shape[1], bits, 16, seed=0, tied=True)
    start_at_itq(network, sample.inputs, seed=0)
    itq = fit_itq(sample.inputs.numpy(), bits)
    with torch.no_grad():
        assert np.array_equal(pack(network.encoder(sample.inputs).numpy()), pack(itq.logits(sample.inputs.numpy())))
        codes, weight = binary_code(network.encoder(sample.inputs)), network.encoder.linear.weight
        centred = sample.inputs - torch.from_numpy(itq.mean).float()
        errors = [float((scale * codes @ weight - centred).square().mean()) for scale in (0.98, 1.0, 1.02)]
        assert errors[1] < min(errors[0], errors[2])
        assert float((network(sample.inputs) - sample.inputs).square().mean()) == pytest.approx(errors[1], rel=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_tied(objective: str) -> None:
    sample = draw_sample(digits(), Config())
    hidden = 0 if objective == "predictive-sparse" else 64
    losses = []
    for epochs in (1, 6):
        config = Config(16, objective, epochs, hidden, tied=True, start="random")
        losses.append(fit(sample, config).history.final_losses()["total"])
    assert losses[1] < 0.98 * losses[0]


def test_same_seed_same_codes_tied() -> None:
    sample = draw_sample(digits(), Config())
    codes = []
    for seed in (1, 1, 2):
        network = fit(sample, Config(16, epochs=1, seed=seed, tied=True)).network
        with torch.no_grad():
            codes.append(network.encoder(sample.inputs))
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0] > 0, codes[2] > 0)


def test_a_tied_decoder_of_sparse_codes_must_be_linear() -> None:
    with pytest.raises(InvalidInputError, match="expected 0 hidden units for a tied decoder"):
        Config(objective="predictive-sparse", tied=True)
    Config(objective="predictive-sparse", tied=True, hidden=0)

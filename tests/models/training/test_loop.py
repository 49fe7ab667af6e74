from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models.codes import pack
from models.errors import InvalidInputError
from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation, evaluate
from models.evaluation.split import split
from models.features.pixels import PixelFeatures
from models.folder import write_folder
from models.hasher import DECODER, ENCODER, Hasher
from models.itq import fit_itq
from models.rows import Rows
from models.training.config import Config
from models.training.corruption import Corruption
from models.training.export import export_decoder, export_encoder
from models.training.inputs import fit_projection
from models.training.loop import Trained, fit
from models.training.network import sigmoid_code
from models.training.objectives import OBJECTIVES
from models.training.prepare import draw_sample

torch.set_num_threads(1)


def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32), labels.astype(np.str_)


def train(features: Rows, config: Config) -> Trained:
    return fit(draw_sample(features, config), config)


def hasher_of(features: np.ndarray, config: Config) -> Hasher:
    trained = train(features, config)
    card = {"name": "t", "version": 1, "bits": config.bits}
    encoder = export_encoder(trained.network, trained.projection)
    return Hasher(card, PixelFeatures(8, 8), encoder, export_decoder(trained.network, trained.projection))


@pytest.mark.parametrize("tied", [False, True])
def test_training_starts_at_itq(tied: bool) -> None:
    features, _ = digits()
    hasher = hasher_of(features, Config(epochs=0, bits=32, tied=tied))
    projected = fit_projection(features, 256).forward(features)
    assert np.array_equal(pack(hasher.logits(features)), pack(fit_itq(projected, 32).logits(projected)))


@pytest.mark.parametrize(("hidden", "tied"), [(512, False), (0, False), (512, True), (0, True)])
def test_exported_graphs_equal_the_network(hidden: int, tied: bool) -> None:
    features, _ = digits()
    trained = train(features, Config(epochs=2, bits=16, hidden=hidden, tied=tied))
    card = {"name": "t", "version": 1, "bits": 16}
    encoder, decoder = (export(trained.network, trained.projection) for export in (export_encoder, export_decoder))
    hasher = Hasher(card, PixelFeatures(8, 8), encoder, decoder)
    network = trained.network.double()
    inputs = (features - trained.projection.mean) @ trained.projection.directions * trained.projection.scale
    with torch.no_grad():
        logits = network.encoder(torch.from_numpy(inputs))
        rebuilt = network.decoder(torch.where(logits > 0, 1.0, -1.0).double()).numpy()
    assert np.allclose(hasher.logits(features), logits.numpy(), rtol=1e-6, atol=1e-6)
    expected = rebuilt / trained.projection.scale @ trained.projection.directions.T + trained.projection.mean
    assert np.allclose(hasher.decode(pack(logits.numpy())), expected, rtol=1e-5, atol=1e-6)


def test_codes_do_not_depend_on_the_batch() -> None:
    features, _ = digits()
    hasher = hasher_of(features, Config(epochs=1))
    together = hasher.logits(features)
    assert np.array_equal(together[:50], np.concatenate([hasher.logits(row[None]) for row in features[:50]]))


def test_same_seed_same_codes_and_another_seed_others() -> None:
    features, _ = digits()
    first, again, other = (hasher_of(features, Config(epochs=1, seed=seed)).logits(features) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(pack(first), pack(other))


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "hashing"])
def test_every_objective_lowers_its_own_loss(objective: str) -> None:
    features, _ = digits()
    # From a random start: what PCA-ITQ and least squares begin with leaves the predictive one little to gain.
    short = train(features, Config(16, objective, 1, start="random")).history.final_losses()["total"]
    long = train(features, Config(16, objective, 12, start="random")).history.final_losses()["total"]
    assert long < short * 0.95


def test_more_weight_more_effect() -> None:
    sample = draw_sample(digits()[0], plain := Config(neighbours_a_seed=0, hidden=64, epochs=8))
    for objective, term, weight in (
        ("sparse", "sparsity", 0.1),
        ("sparse-gaussian", "gaussian_sparsity", 0.1),
        ("contractive", "contraction", 1.0),
        ("undercomplete", "weight_decay", 1e-3),
    ):
        weak, strong = (
            fit(sample, replace(plain, objective=objective, weights={term: share * weight})) for share in (1e-8, 1)
        )
        assert strong.history.final_losses()[term] < 0.8 * weak.history.final_losses()[term]


def test_denoising_points_along_the_score() -> None:
    """`r(x) - x` against the score of two Gaussians, smoothed by the noise (Alain and Bengio, JMLR 2014)."""
    rng = np.random.default_rng(0)
    centres, spread, level = np.array([[2.0, 1.0], [-2.0, -1.0]]), 0.4, 0.25
    points = (centres[rng.integers(0, 2, 4000)] + spread * rng.standard_normal((4000, 2))).astype(np.float32)
    noise = level * float(points.std())
    small = Config(objective="denoising", bits=64, epochs=60, hidden=128, neighbours_a_seed=0)
    trained = train(points, replace(small, corruption=Corruption("gaussian", level)))
    at = (centres[rng.integers(0, 2, 500)] + 1.5 * spread * rng.standard_normal((500, 2))).astype(np.float32)
    inputs = torch.from_numpy(trained.projection.forward(at))
    with torch.no_grad():
        rebuilt = trained.network.decoder(sigmoid_code(trained.network.encoder(inputs))).numpy()
    field = (rebuilt - inputs.numpy()) / trained.projection.scale @ trained.projection.directions.T
    offsets = centres[None] - at[:, None]
    share = np.exp(-np.square(offsets).sum(axis=2) / (2 * (spread**2 + noise**2)))
    score = (share[:, :, None] * offsets).sum(axis=1) / share.sum(axis=1, keepdims=True)
    cosine = (field * score).sum(axis=1) / np.linalg.norm(field, axis=1) / np.linalg.norm(score, axis=1)
    # Without corruption it is 0.03.
    assert cosine.mean() > 0.99


def test_default_objective_beats_itq_by_label_on_digits() -> None:
    features, labels = digits()
    data = split(features, labels, 0.2, 2000)
    hasher = hasher_of(data.base[:], Config())
    table = {
        row.name: row for row in evaluate(Evaluation(data), {"hashing": hasher.logits, **baselines(data.base, 64)})
    }
    ours, itq = table["hashing"], table["PCA-ITQ"]
    assert ours.precision_at_10 > itq.precision_at_10
    assert ours.precision_at_100 > itq.precision_at_100 + 0.05
    assert ours.mean_average_precision > itq.mean_average_precision + 0.05
    # Neighbours, too, in no column below it: what training keeps (test_candidates.py).
    assert table["float features"].recall_10_at_10 > 0.99


def test_a_written_hasher_gives_the_same_codes(tmp_path) -> None:
    features, _ = digits()
    trained = train(features, Config(epochs=1))
    images = PixelFeatures(8, 8)
    card = {"name": "t", "version": 1, "modality": "image", "bits": 64, "objective": "hashing"}
    card["features"] = images.settings()
    encoder, decoder = (export(trained.network, trained.projection) for export in (export_encoder, export_decoder))
    write_folder(tmp_path / "t@1", card, {ENCODER: encoder, DECODER: decoder, **images.files()})
    loaded = Hasher.load(tmp_path / "t@1")
    assert loaded.reference == "t@1"
    assert np.array_equal(loaded.logits(features), Hasher(card, images, encoder, decoder).logits(features))


def test_bad_configs_and_data_say_what_is_wrong() -> None:
    for wrong, message in (
        ({"bits": 12}, "multiple of 8"),
        ({"objective": "magic"}, "expected an objective of hashing"),
        ({"weights": {"magic": 1.0}}, "expected weights for"),
        ({"device": "magic"}, "expected a device"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            train(digits()[0], Config(**wrong))
    with pytest.raises(InvalidInputError, match="all the same"):
        train(np.ones((30, 4), np.float32), Config())
    with pytest.raises(InvalidInputError, match="at least 20 items"):
        train(np.ones((3, 4), np.float32), Config())
    with pytest.raises(InvalidInputError, match="level of 0 to 1"):
        Corruption("masking", 2.0)

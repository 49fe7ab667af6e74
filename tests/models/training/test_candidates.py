from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models.codes import pack
from models.evaluation.baselines import baselines, linear_hashes
from models.evaluation.quality import Evaluation
from models.evaluation.split import split
from models.features.vector import VectorFeatures
from models.hasher import Hasher
from models.itq import principal_directions
from models.training import candidates
from models.training.candidates import (
    NETWORKS,
    Saving,
    Training,
    as_network,
    discriminants,
    encoder_of,
    fit_again,
    networks,
    train,
)
from models.training.config import Config
from models.training.corruption import Corruption
from models.training.export import export_decoder, export_encoder
from models.training.objectives import DUPLICATES, OBJECTIVES

torch.set_num_threads(1)
COLUMNS = ("precision_at_10", "precision_at_100", "mean_average_precision", "recall_10_at_10", "recall_10_at_100")


def digits(items: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return (images[:items] / 16).astype(np.float32), labels[:items].astype(np.str_)


def test_what_is_kept_of_few_items_is_no_worse_than_itq_in_any_column() -> None:
    data = split(*digits(900), 0.2, 2000)
    kept = train(data.base[:], Config(), Training())
    assert kept.name in NETWORKS
    assert kept.choice is not None
    assert kept.choice.held_out == 144
    assert {score.name for score in kept.choice.scores} == {
        *NETWORKS, "PCA-ITQ", "PCA sign", "unrotated sign", "random projections"
    }  # fmt: skip
    evaluation = Evaluation(data)
    own = evaluation.codes("own", encoder_of(kept.trained))
    itq = evaluation.codes("itq", baselines(data.base, 64)["PCA-ITQ"])
    for column in COLUMNS:
        assert getattr(own, column) > getattr(itq, column) - 0.005, column
    assert own.precision_at_100 > itq.precision_at_100 + 0.03


@pytest.mark.parametrize("items", [30, 400])
@pytest.mark.parametrize("bits", [8, 24, 40])
def test_linear_hashes_are_exported_with_their_own_codes(items: int, bits: int) -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((items, 24)) * np.linspace(3, 0.5, 24) + 7).astype(np.float32)
    principal = principal_directions(features)
    for name, linear in linear_hashes(features, bits, principal).items():
        trained = as_network(linear, features, principal, Config(bits))
        card = {"name": "t", "version": 1, "bits": bits}
        encoder, decoder = (graph(trained.network, trained.projection) for graph in (export_encoder, export_decoder))
        hasher = Hasher(card, VectorFeatures(24), encoder, decoder)
        codes = pack(linear.logits(features))
        # A threshold that is an item leaves it a logit of zero, which may be rounded to the other side.
        assert np.mean(np.unpackbits(pack(hasher.logits(features)) ^ codes)) < 5e-3, name
        assert np.square(hasher.decode(codes) - features).mean() < features.var(axis=0).mean(), name


def test_a_linear_hash_is_kept_where_the_networks_are_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that reconstruct nothing and push all codes together."""
    harm = {"reconstruction": 0.0, "similarity": 0.0, "smoothed_similarity": 0.0, "balance": 1e3, "weight_decay": 10.0}
    monkeypatch.setattr(candidates, "NETWORKS", {"a": (0.5, harm), "b": (0.25, harm)})
    features, _ = digits(300)
    kept = train(features, Config(16), Training())
    assert kept.name == "PCA-ITQ"
    expected = pack(linear_hashes(features, 16)["PCA-ITQ"].logits(features))
    assert np.mean(np.unpackbits(pack(encoder_of(kept.trained)(features)) ^ expected)) < 1e-3
    assert kept.trained.history.losses == {}


def test_options_of_ones_own_have_no_rivals() -> None:
    assert set(networks(Config())) == set(NETWORKS)
    for config in (
        Config(objective="contractive"),
        Config(weights={"balance": 2.0}),
        Config(corruption=Corruption("manifold", 0.1)),
        Config(start="random"),
    ):
        assert networks(config) == {"network": config}
    kept = train(digits(100)[0], Config(8, "undercomplete", 1, 0), Training())
    assert (kept.name, kept.choice) == ("network", None)


def test_of_very_few_items_none_are_held_out() -> None:
    kept = train(digits(30)[0], Config(8, epochs=1), Training())
    assert (kept.name, kept.choice) == (next(iter(NETWORKS)), None)
    assert train(digits(60)[0], Config(8, epochs=1), Training()).choice.held_out == 12


def test_a_stopped_training_goes_on_in_the_fit_that_was_stopped(tmp_path: Path) -> None:
    features, _ = digits(300)
    config = Config(16, epochs=4, hidden=8)
    whole = train(features, config, Training())
    started: list[tuple[str, int]] = []

    def bar(stop: tuple[str, int] | None) -> Callable[[str], Callable[[Iterable[int], object], Iterator[int]]]:
        def named(name: str) -> Callable[[Iterable[int], object], Iterator[int]]:
            def steps(numbers: Iterable[int], _: object) -> Iterator[int]:
                for number in numbers:
                    started.append((name, number))
                    if (name, number) == stop:
                        raise KeyboardInterrupt
                    yield number

            return steps

        return named

    saving = Saving(tmp_path / ".run", 0.0)
    second = list(NETWORKS)[1]
    with pytest.raises(KeyboardInterrupt):
        train(features, config, Training(saving=saving, bar=bar((second, 5))))
    assert len(saving.files()) == 2
    started.clear()
    resumed = train(features, config, Training(saving=saving, bar=bar(None)))
    assert started[0] == (second, 5)
    assert resumed.name == whole.name
    assert resumed.choice == whole.choice
    for key, value in whole.trained.network.state_dict().items():
        assert torch.equal(value, resumed.trained.network.state_dict()[key])
    saving.clear()
    assert list(tmp_path.iterdir()) == []


def noisy_views(features: np.ndarray, noise: np.ndarray):
    """Four views an item: noise of the given strength on each number."""

    def views(places: np.ndarray):
        rng = np.random.default_rng(int(places.sum()))
        yield features[places][:, None] + noise * rng.standard_normal((len(places), 4, features.shape[1]), np.float32)

    return views


def test_for_duplicates_discriminants_compete_and_the_network_starts_at_them() -> None:
    features, _ = digits(300)
    config = Config(16, DUPLICATES, epochs=2)
    kept = train(features, config, Training(views=noisy_views(features, 0.4 * features.std(axis=0))))
    names = {score.name for score in kept.choice.scores}
    linear = {"PCA-ITQ", "PCA sign", "random projections"}
    linear |= {f"discriminants, {factor} a bit" for factor in (1, 2, 4)}
    assert names == {"network", "network from discriminants", *linear}
    assert kept.choice.held_out == 60
    assert (kept.config.start, kept.config.directions) in [("discriminants", factor) for factor in (1, 2, 4)]
    scores = {score.name: score.score for score in kept.choice.scores}
    best = max((name for name in names if name.startswith("discriminants")), key=scores.__getitem__)
    assert best == f"discriminants, {kept.config.directions} a bit"
    assert scores[best] > 0


def test_discriminants_are_kept_where_the_network_is_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = digits(300)
    harm = {"reconstruction": 0.0, "views": 0.0, "balance": 1e3, "weight_decay": 10.0}
    monkeypatch.setitem(OBJECTIVES, DUPLICATES, replace(OBJECTIVES[DUPLICATES], weights=harm))
    monkeypatch.setattr(candidates, "FINE_WEIGHTS", harm)
    monkeypatch.setattr(candidates, "FINE_RATE", 2e-3)
    # What views change is what tells the digits apart by PCA: only the discriminants know better.
    noise = np.where(features.std(axis=0) > 0.3, 1.0, 0.01).astype(np.float32)
    config = Config(16, DUPLICATES, epochs=40, seed=3)
    training = Training(views=noisy_views(features, noise))
    kept = train(features, config, training)
    assert kept.name.startswith("discriminants")
    sample = training.draw(features, kept.config)
    linear = discriminants(sample, kept.config)[kept.config.directions]
    expected = pack(linear.logits(features))
    assert np.mean(np.unpackbits(pack(encoder_of(kept.trained)(features)) ^ expected)) < 1e-3
    longer = fit_again(kept.name, features, replace(kept.config, bits=64), training)
    assert encoder_of(longer)(features).shape == (300, 64)

"""Candidates: what a training makes, and which of it is kept.

Networks, and the linear hashes that they are measured against. Each is scored on items that none of them was fitted to
(`models.evaluation.choice`), and the best one is fitted again to all items.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.evaluation.baselines import Encode, linear_hashes
from models.evaluation.choice import REFERENCE, Choice, Trial, choose
from models.evaluation.copies import CopiesTrial
from models.evaluation.similar import Clustering, SimilarTrial
from models.evaluation.split import split
from models.itq import LinearHash, Principal, principal_directions
from models.rows import Rows, draw, draw_places
from models.training.config import CHECKPOINT_SECONDS, Config
from models.training.corruption import Corruption
from models.training.discriminants import FACTORS, fit_discriminants
from models.training.history import History
from models.training.inputs import Projection
from models.training.loop import Trained, fit
from models.training.network import Autoencoder, start_at
from models.training.objectives import DUPLICATES
from models.training.prepare import Views, draw_sample
from models.training.ranks import ALONE, Ranks
from models.training.sample import Sample
from models.training.sharing import share_sample

WEAK = {"smoothed_similarity": 0.9}
NETWORKS: dict[str, tuple[float, dict[str, float]]] = {
    "network, noise 0.5": (0.5, {}),
    "network, noise 0.5, weak clusters": (0.5, WEAK),
    "network, noise 0.25, weak clusters": (0.25, WEAK),
}
"""The networks that are tried for similar items: the strength of the noise along the manifold, weights that differ."""
NETWORK = "network"
"""The only network of all other trainings, and the first one for duplicates."""
FINE = "network from discriminants"
FINE_WEIGHTS = {"reconstruction": 0.0, "views": 0.0, "sharp_views": 1.0, "decorrelation": 0.0}
FINE_RATE = 3e-4
"""A start that good is only to be moved a little."""
DISCRIMINANTS = {factor: f"discriminants, {factor} a bit" for factor in FACTORS}
"""Linear hashes that are tried for near-duplicates, by directions a bit; the network starts at the best of them."""
HELD_OUT = 0.2
MOST_HELD_OUT = {"hashing": 1000, DUPLICATES: 500}
TRIED_ON = {"hashing": 16_000, DUPLICATES: 4000}
"""Items, drawn at random, that candidates are compared on at most; what is kept is then fitted to all."""
FEWEST_TRIED_ON = 50
"""Of fewer items, a fifth would say nothing: the first network is kept."""
LINEAR_ITEMS = 20_000
CLUSTERS = (10, 14, 20, 28)
FEWEST_A_CLUSTER = 10
ROUNDS = 20

Bar = Callable[[str], Callable[[Iterable[int], Callable[[], str]], Iterable[int]]]
"""The name of a fit -> what wraps its loop, to show progress."""
Search = Callable[[Iterable[int]], Iterable[int]]
"""Wraps the search for neighbours, to show progress."""


@dataclass(frozen=True)
class Saving:
    """Where a training saves its state, so that a stopped one goes on; each of its fits has a file of its own."""

    prefix: Path | None = None
    seconds: float = CHECKPOINT_SECONDS

    def file(self, fit_name: str) -> Path | None:
        """The file of one fit."""
        if self.prefix is None:
            return None
        slug = "".join(letter if letter.isalnum() else "-" for letter in fit_name)
        return self.prefix.with_name(f"{self.prefix.name}.{slug}.checkpoint")

    def clear(self) -> None:
        """Remove the files."""
        for file in self.files():
            file.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """The files that are there."""
        if self.prefix is None:
            return []
        return sorted(self.prefix.parent.glob(f"{self.prefix.name}.*.checkpoint"))


@dataclass(frozen=True)
class Training:
    """How every fit of a training is run: by which processes, where it saves its state, how it shows progress."""

    ranks: Ranks = ALONE
    saving: Saving = Saving()
    bar: Bar = lambda _: lambda steps, _: steps
    search: Search = lambda numbers: numbers
    views: Views | None = None
    """Makes the views of the items that are trained on, for near-duplicates."""

    def draw(
        self,
        features: Rows | None,
        config: Config,
        principal: Principal | None = None,
        numbers: NDArray[np.intp] | None = None,
    ) -> Sample:
        """The sample of features (n, d), in every process; only the first has features.

        `numbers` (n,) says which items the features are of, where they are not of all.
        """
        views = None
        if config.objective == DUPLICATES and self.views is not None:
            views = self.views if numbers is None else partial(_views_at, self.views, numbers)
        sample = None if features is None else draw_sample(features, config, self.search, principal, views)
        return share_sample(sample, config, self.ranks)

    def fit(self, name: str, sample: Sample, config: Config) -> Trained:
        """One fit."""
        return fit(sample, config, self.bar(name), self.saving.file(name), self.saving.seconds, self.ranks)


def _views_at(views: Views, numbers: NDArray[np.intp], places: NDArray[np.intp]) -> Iterator[NDArray[np.float32]]:
    return views(numbers[places])


@dataclass(frozen=True)
class Kept:
    """What is kept: its name, the config that says how it is fitted, its fit to all items, and the choice.

    `trained` is None where a linear hash is kept, in all processes but the first; `choice` is None where there was
    none, and in all processes but the first.
    """

    name: str
    config: Config
    trained: Trained | None
    choice: Choice | None


def networks(config: Config) -> dict[str, Config]:
    """The networks that are tried, by name: at several settings for similar items, from two starts for duplicates."""
    if config.objective == DUPLICATES and config.start == "discriminants":
        return {
            NETWORK: replace(config, start="pca-itq"),
            FINE: replace(config, weights=FINE_WEIGHTS, learning_rate=FINE_RATE),
        }
    if config.objective != "hashing" or not has_rivals(config):
        return {NETWORK: config}
    return {
        name: replace(config, corruption=Corruption("manifold", level), weights=weights)
        for name, (level, weights) in NETWORKS.items()
    }


def has_rivals(config: Config) -> bool:
    """Whether candidates are compared: options of one's own are taken as they are."""
    own = config.weights or config.corruption or config.start != "pca-itq"
    return config.objective in TRIED_ON and not own


def train(features: Rows | None, config: Config, training: Training) -> Kept:
    """Fit all candidates to features (n, d), keep one, and fit it to all items.

    Options of one's own (an objective, a weight, a corruption, a start) are taken as they are, without rivals; where
    items are very few, so is the first network.
    """
    few = training.ranks.from_first(None if features is None else bytes([len(features) < FEWEST_TRIED_ON]))
    if not has_rivals(config) or few == b"\x01":
        name, first = next(iter(networks(config).items()))
        return Kept(name, config, training.fit(name, training.draw(features, config), first), None)
    tried, config = try_candidates(features, config, training)
    choice = tried.choose()
    name = (training.ranks.from_first(None if choice is None else choice.kept.encode()) or b"").decode()
    return Kept(name, config, fit_again(name, features, config, training), choice)


def try_candidates(features: Rows | None, config: Config, training: Training) -> "tuple[Tried, Config]":
    """All candidates, fitted to some of features (n, d) and tried on others, and the config of their networks."""
    tried = Tried(features, config, training)
    if config.objective == DUPLICATES:
        config = replace(config, start="discriminants", directions=tried.add_discriminants())
    for name, each in networks(config).items():
        tried.add(name, encoder_of(training.fit(name, tried.sample, each)))
    return tried, config


class Tried:
    """What candidates are fitted to, their `encoders`, and what they reach; only the sample in all other processes."""

    def __init__(self, features: Rows | None, config: Config, training: Training) -> None:
        self._config, self._ranks = config, training.ranks
        self.encoders: dict[str, Encode] = {}
        self._found: dict[str, dict[str, float]] = {}
        self._trial: Trial | None = None
        if features is None:
            self.sample = training.draw(None, config)
            return
        drawn = draw_places(len(features), TRIED_ON[config.objective], config.seed)
        parts = split(features[drawn], None, HELD_OUT, MOST_HELD_OUT[config.objective], config.seed)
        base = parts.base[:]
        principal = principal_directions(base)
        self.sample = training.draw(base, config, principal, drawn[parts.base_numbers])
        if config.objective == DUPLICATES:
            if training.views is None:
                raise ValueError("expected views of the items to train for duplicates, got none")
            views = np.concatenate(list(training.views(drawn[parts.query_numbers])))
            self._trial = CopiesTrial(parts.queries, views, base)
        else:
            self._trial = try_on(self.sample, parts.queries, config.seed)
        for name, linear in linear_hashes(base, config.bits, principal).items():
            self.add(name, linear.logits)

    def add(self, name: str, encode: Encode) -> None:
        """Try a candidate."""
        if self._trial is not None:
            self.encoders[name] = encode
            self._found[name] = self._trial.columns(encode)

    def add_discriminants(self) -> int:
        """Try the discriminants; returns how many directions a bit the best of them have."""
        best = None
        if self._trial is not None:
            scores = {}
            for factor, linear in discriminants(self.sample, self._config).items():
                name = DISCRIMINANTS[factor]
                self.add(name, linear.logits)
                scores[factor] = self._trial.score(self._found[name], self._found[REFERENCE])
            best = bytes([max(scores, key=scores.__getitem__)])
        (factor,) = self._ranks.from_first(best) or b"\x01"
        return factor

    def choose(self) -> Choice | None:
        """The choice, in the first process."""
        return None if self._trial is None else choose(self._trial, self._found)


def fit_again(name: str, features: Rows | None, config: Config, training: Training) -> Trained | None:
    """The candidate of this name, fitted to features (n, d); None where it is linear, in processes without features.

    `config` is that of what is kept (`Kept`), perhaps with other bits.
    """
    if name in (plan := networks(config)):
        return training.fit(f"{name}, all items", training.draw(features, config), plan[name])
    if name in DISCRIMINANTS.values():
        sample = training.draw(features, config)
        found = {DISCRIMINANTS[factor]: linear for factor, linear in discriminants(sample, config).items()}
        # Longer codes may have no more directions: these are all there are.
        linear = found.get(name) or next(reversed(found.values()))
    elif features is not None:
        linear = linear_hashes(features, config.bits)[name]
    if features is None:
        return None
    return as_network(linear, draw(features, LINEAR_ITEMS, config.seed), principal_directions(features), config)


def discriminants(sample: Sample, config: Config) -> dict[int, LinearHash]:
    """The discriminants of a sample with views, as linear hashes of features, by the number of directions a bit."""
    if sample.views is None:
        raise ValueError("expected views of the items, got none")
    inputs, views, projection = sample.inputs.numpy(), sample.views.numpy(), sample.projection
    found = fit_discriminants(inputs, views, config.bits, config.seed)
    into = projection.directions * projection.scale
    return {
        factor: LinearHash(projection.mean, into @ linear.projection, linear.mean @ linear.projection)
        for factor, linear in found.items()
    }


def encoder_of(trained: Trained) -> Encode:
    """Features -> logits, by PyTorch."""

    def encode(features: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: NDArray[np.float32] = trained.network.encoder(
                torch.from_numpy(trained.projection.forward(features))
            ).numpy()
        return logits

    return encode


def as_network(linear: LinearHash, features: NDArray[np.float32], principal: Principal, config: Config) -> Trained:
    """A linear hash as an autoencoder without hidden units, whose decoder is the least squares from the codes.

    Its inputs are all principal components of the features (n, d), so that any linear hash of them can be written.
    """
    projection = Projection(principal.mean, principal.directions, float(principal.variances.mean() ** -0.5))
    inputs = torch.from_numpy(projection.forward(features))
    network = Autoencoder(inputs.shape[1], config.bits, 0, config.seed)
    turned = principal.directions.T @ linear.projection
    moved = (principal.mean - linear.mean) @ linear.projection - linear.thresholds
    start_at(network, inputs, LinearHash(np.zeros(len(turned)), turned / projection.scale, -moved))
    return Trained(network.eval(), projection, History((), inputs, config.seed))


def try_on(sample: Sample, held_out: NDArray[np.float32], seed: int) -> SimilarTrial:
    """Held-out features (m, d) against the sample, with several clusterings: k-means on the inputs."""
    from sklearn.cluster import KMeans  # seconds to import, and only a choice needs it

    inputs, others = sample.inputs.numpy(), sample.projection.forward(held_out)
    clusterings = []
    for place, number in enumerate(CLUSTERS):
        few = max(2, min(number, len(inputs) // FEWEST_A_CLUSTER))
        means = KMeans(few, init="random", n_init=1, max_iter=ROUNDS, random_state=(seed + place) % 2**32)
        with warnings.catch_warnings():
            # Where many items are equal there are fewer clusters than asked for: that is no fault.
            warnings.simplefilter("ignore")
            means.fit(inputs)
        clusterings.append(Clustering(means.predict(inputs), means.predict(others)))
    return SimilarTrial(held_out, sample.features.numpy(), clusterings)

"""Candidates: what a training makes, and which of it is kept.

A network at several settings, and the linear hashes that it is measured against. Each is scored on items that none of
them was fitted to (`models.evaluation.choice`), and the best one is fitted again to all items.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.evaluation.baselines import Encode, linear_hashes
from models.evaluation.choice import Choice, Clustering, Trial, choose
from models.evaluation.split import split
from models.itq import LinearHash, Principal, principal_directions
from models.rows import Rows, draw
from models.training.config import CHECKPOINT_SECONDS, Config
from models.training.corruption import Corruption
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
"""The networks that are tried: the strength of the noise along the manifold, and weights that differ."""
HELD_OUT = 0.2
MOST_HELD_OUT = 1000
TRIED_ON = 16_000
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

    def draw(self, features: Rows | None, config: Config, principal: Principal | None = None) -> Sample:
        """The sample of features (n, d), in every process; only the first has features."""
        views = self.views if config.objective == DUPLICATES else None
        sample = None if features is None else draw_sample(features, config, self.search, principal, views)
        return share_sample(sample, config, self.ranks)

    def fit(self, name: str, sample: Sample, config: Config) -> Trained:
        """One fit."""
        return fit(sample, config, self.bar(name), self.saving.file(name), self.saving.seconds, self.ranks)


@dataclass(frozen=True)
class Kept:
    """What is kept: its name, its fit to all items, and the choice.

    `trained` is None where a linear hash is kept, in all processes but the first; `choice` is None where there was
    none, and in all processes but the first.
    """

    name: str
    trained: Trained | None
    choice: Choice | None


def networks(config: Config) -> dict[str, Config]:
    """The networks that are tried, by name: the default objective at several settings, any other as it is."""
    if config.objective != "hashing" or config.weights or config.corruption or config.start != "pca-itq":
        return {"network": config}
    return {
        name: replace(config, corruption=Corruption("manifold", level), weights=weights)
        for name, (level, weights) in NETWORKS.items()
    }


def train(features: Rows | None, config: Config, training: Training) -> Kept:
    """Fit all candidates to features (n, d), keep one, and fit it to all items.

    Options of one's own (an objective, a weight, a corruption, a start) are taken as they are, without rivals; where
    items are very few, so is the first network.
    """
    plan = networks(config)
    few = training.ranks.from_first(None if features is None else bytes([len(features) < FEWEST_TRIED_ON]))
    if len(plan) == 1 or few == b"\x01":
        name = next(iter(plan))
        return Kept(name, training.fit(name, training.draw(features, config), plan[name]), None)

    parts = principal = base = None
    if features is not None:
        parts = split(draw(features, TRIED_ON, config.seed), None, HELD_OUT, MOST_HELD_OUT, config.seed)
        base = parts.base[:]
        principal = principal_directions(base)
    sample = training.draw(base, config, principal)
    fitted = {name: training.fit(name, sample, each) for name, each in plan.items()}
    choice = None
    if parts is not None and base is not None:
        linear = linear_hashes(base, config.bits, principal)
        encoders = {name: encoder_of(trained) for name, trained in fitted.items()}
        encoders |= {name: found.logits for name, found in linear.items()}
        choice = choose(try_on(sample, parts.queries, config.seed), encoders)
    name = (training.ranks.from_first(None if choice is None else choice.kept.encode()) or b"").decode()
    return Kept(name, fit_again(name, features, config, training), choice)


def fit_again(name: str, features: Rows | None, config: Config, training: Training) -> Trained | None:
    """The candidate of this name, fitted to features (n, d); None where it is linear, in processes without features."""
    if name in (plan := networks(config)):
        return training.fit(f"{name}, all items", training.draw(features, config), plan[name])
    if features is None:
        return None
    principal = principal_directions(features)
    linear = linear_hashes(features, config.bits, principal)[name]
    return as_network(linear, draw(features, LINEAR_ITEMS, config.seed), principal, config)


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


def try_on(sample: Sample, held_out: NDArray[np.float32], seed: int) -> Trial:
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
    return Trial(held_out, sample.features.numpy(), clusterings)

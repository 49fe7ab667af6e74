"""The training loop."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import InvalidInputError
from models.neighbours import nearest
from models.training.config import Config
from models.training.inputs import Projection, fit_projection
from models.training.network import Autoencoder, binary_code, sigmoid_code, start_at_itq
from models.training.terms import TERMS
from models.training.terms.step import Data, Step

MINIMUM_ITEMS = 20
WARM_UP_STEPS = 50
GRAPH_COMPONENTS = 64
"""Neighbours for batches are sought among so many leading components: as good, and several times faster."""

Track = Callable[[Iterable[int], str], Iterable[int]]


@dataclass(frozen=True)
class Trained:
    """A trained network, how features reach it, and the mean loss of the last tenth of the steps, by term."""

    network: Autoencoder
    projection: Projection
    losses: dict[str, float]


def fit(features: NDArray[np.float32], config: Config, track: Track = lambda steps, _: steps) -> Trained:
    """Train on features (n, d) float32; `track(steps, description)` wraps each long loop, to show progress."""
    if len(features) < MINIMUM_ITEMS:
        raise InvalidInputError(f"expected at least {MINIMUM_ITEMS} items to train on, got {len(features)}")
    objective = config.resolved()
    weights = {name: weight for name, weight in objective.weights.items() if weight}
    device = pick_device(config.device)
    generator = torch.Generator().manual_seed(config.seed)

    projection = fit_projection(features, config.components)
    inputs = torch.from_numpy(projection.forward(features))
    near = inputs[:, :GRAPH_COMPONENTS].numpy()
    graph = torch.from_numpy(
        nearest(near, near, config.neighbours, itself=True, track=lambda blocks: track(blocks, "neighbours"))
    )
    network = Autoencoder(inputs.shape[1], config.bits, config.hidden, config.seed)
    if config.start == "pca-itq":
        start_at_itq(network, inputs, config.seed)
    batches = Batches(graph, config.seeds_a_batch, config.neighbours_a_seed, generator)
    data = Data(inputs, graph, network, lambda: next(batches), generator)
    terms = {name: TERMS[name](data) for name in weights}

    network.to(device)
    optimizer = torch.optim.Adam(network.parameters())
    source = torch.from_numpy(features)
    into = torch.from_numpy(projection.directions * projection.scale).float()
    mean = torch.from_numpy(projection.mean).float()
    total = config.steps(len(features))
    history: dict[str, list[float]] = {name: [] for name in ("total", *weights)}
    for number in track(range(total), "training"):
        optimizer.param_groups[0]["lr"] = config.learning_rate * schedule(number, total)
        rows = next(batches)
        clean = inputs[rows].to(device)
        seen = clean
        if objective.corruption:
            seen = ((objective.corruption(source[rows], generator) - mean) @ into).to(device)
        if "contraction" in weights:
            seen = seen.clone().requires_grad_()
        logits = network.encoder(seen)
        code = binary_code(logits) if objective.binary else sigmoid_code(logits)
        step = Step(network, rows, clean, seen, logits, code)

        losses = {name: terms[name](step) for name in weights}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        if not torch.isfinite(loss):
            raise InvalidInputError(
                f"expected a finite loss, got {float(loss.detach())} at step {number + 1}: lower the weights"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

        for name, value in {"total": loss, **losses}.items():
            history[name].append(float(value.detach()))
    network.cpu().eval()
    tail = max(1, total // 10)
    return Trained(network, projection, {name: float(np.mean(v[-tail:])) for name, v in history.items() if v})


class Batches:
    """Endless batches of rows: seeds in a random order, each with some of its nearest neighbours.

    Items drawn at random hardly ever hold two neighbours, and then the neighbourhood terms have nothing to learn from.
    """

    def __init__(self, graph: Tensor, seeds: int, neighbours: int, generator: torch.Generator) -> None:
        self._graph = graph
        self._seeds = min(seeds, len(graph))
        self._neighbours = min(neighbours, graph.shape[1])
        self._generator = generator
        self._order = torch.empty(0, dtype=torch.long)

    def __next__(self) -> Tensor:
        """Rows (m,) int64; an item may come more than once."""
        if len(self._order) < self._seeds:
            self._order = torch.randperm(len(self._graph), generator=self._generator)
        seeds, self._order = self._order[: self._seeds], self._order[self._seeds :]
        keys = torch.rand((self._seeds, self._graph.shape[1]), generator=self._generator)
        chosen = keys.argsort(dim=1)[:, : self._neighbours]
        return torch.cat([seeds, self._graph[seeds].gather(1, chosen).T.reshape(-1)])


def schedule(step: int, total: int) -> float:
    """Share of the learning rate: a short linear warm-up within one half cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / total))


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"expected a device that PyTorch has here, got {name!r}: {error}") from None
    return device

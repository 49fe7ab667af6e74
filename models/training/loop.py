"""The training loop."""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.errors import InvalidInputError
from models.itq import LinearHash
from models.training.checkpoint import Checkpoint
from models.training.config import CHECKPOINT_SECONDS, Config
from models.training.discriminants import fit_discriminants
from models.training.history import History
from models.training.inputs import Projection
from models.training.network import Autoencoder, binary_code, fit_decoder, sigmoid_code, start_at, start_at_itq
from models.training.ranks import ALONE, Ranks
from models.training.sample import Sample
from models.training.terms import TERMS, Term
from models.training.terms.step import Batch, Data, Step
from models.training.terms.views import VIEW_TERMS

WARM_UP_STEPS = 50
USES_DECODER = {"reconstruction", "prediction"}
"""Terms that train the decoder; where there is none, it is fitted to the codes at the end."""

Track = Callable[[Iterable[int], Callable[[], str]], Iterable[int]]


@dataclass(frozen=True)
class Trained:
    """A trained network, how features reach it, and how training went."""

    network: Autoencoder
    projection: Projection
    history: History


def fit(
    sample: Sample,
    config: Config,
    track: Track = lambda steps, _: steps,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ranks: Ranks = ALONE,
) -> Trained:
    """Train on a sample; `track(steps, status)` wraps the loop, to show progress with a line of text that changes.

    With `checkpoint`, the state is written to that file every so many seconds, and a run whose file is there goes on
    from it, to the same codes as one that was never stopped. The file is left to the caller to remove.

    With several `ranks`, each calls this with the same sample and config; the first one alone writes, and its history
    is that of all.
    """
    objective = config.resolved()
    inputs = sample.inputs
    weights = config.weights_for(len(inputs))
    device = pick_device(config.device)
    generator = torch.Generator().manual_seed(config.seed)

    network = Autoencoder(inputs.shape[1], config.bits, config.units(len(inputs)), config.seed, config.tied)
    match config.start:
        case "pca-itq":
            start_at_itq(network, inputs, config.seed)
        case "discriminants":
            start_at(network, inputs, start_of(sample, config))
    graph = sample.graph if config.neighbours_a_seed else torch.empty((len(inputs), 0), dtype=torch.long)
    batches = Batches(graph, config.seeds(len(inputs)), config.neighbours_a_seed, generator)
    data = Data(sample, network, lambda: next(batches), generator)
    terms = {name: TERMS[name](data) for name in weights}

    network.to(device)
    ranks.check(batches.size)
    optimizer = torch.optim.Adam(network.parameters())
    total = config.steps(len(inputs))
    history = History(("total", *weights), inputs, config.seed)
    saved = Checkpoint(checkpoint, checkpoint_seconds, config, sample, network, optimizer, generator, batches, history)
    done = saved.resume(ranks)
    # Without reconstruction the decoder may be idle, or its branch.
    losses_of = ranks.together(Losses(network, terms, objective.binary, ranks), "reconstruction" in weights)
    for number in track(range(done, total), history.status):
        optimizer.param_groups[0]["lr"] = config.learning_rate * schedule(number, total)
        rows = next(batches)
        clean = inputs[rows].to(device)
        seen = ranks.share(clean)
        if objective.corruption and objective.corruption.level:
            # Drawn for the whole batch by every process, as one alone would.
            seen = ranks.share(objective.corruption.inputs(sample, rows, generator)).to(device)
        if VIEW_TERMS & weights.keys():
            seen = ranks.share(sample.view(rows, generator)).to(device)
        if "contraction" in weights:
            seen = seen.clone().requires_grad_()

        losses: dict[str, Tensor] = losses_of(Batch(rows, clean), seen)
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        told = dict(zip(("total", *losses), ranks.mean(torch.stack([loss, *losses.values()])), strict=True))
        if not torch.isfinite(told["total"]):
            raise InvalidInputError(
                f"expected a finite loss, got {float(told['total'])} at step {number + 1}: lower the weights"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

        if ranks.first:
            history.add(told, network, number, total)
            saved.save(number + 1)
    network.cpu().eval()
    if not USES_DECODER & set(weights):
        fit_decoder(network, inputs)
    return Trained(network, sample.projection, history)


def start_of(sample: Sample, config: Config) -> LinearHash:
    """The discriminants of a sample's inputs and views, with as many directions a bit as the config says."""
    if sample.views is None:
        raise InvalidInputError("expected views of the items to start at their discriminants, got none")
    found = fit_discriminants(sample.inputs.numpy(), sample.views.numpy(), config.bits, config.seed)
    return found.get(config.directions) or next(reversed(found.values()))


class Losses(nn.Module):
    """What a step costs, term by term: one forward call, which is what DistributedDataParallel averages over."""

    def __init__(self, network: Autoencoder, terms: dict[str, Term], binary: bool, ranks: Ranks) -> None:
        super().__init__()
        self.network = network
        self._terms, self._binary, self._ranks = terms, binary, ranks

    def forward(self, batch: Batch, seen: Tensor) -> dict[str, Tensor]:
        """A scalar for each term, of what this process sees of the batch."""
        logits = self.network.encoder(seen)
        code = binary_code(logits) if self._binary else sigmoid_code(logits)
        own = Batch(self._ranks.share(batch.rows), self._ranks.share(batch.clean))
        step = Step(self.network, own.rows, own.clean, seen, logits, code, batch, self._ranks)
        return {name: term(step) for name, term in self._terms.items()}


class Batches:
    """Endless batches of rows: seeds in a random order, each with some of its nearest neighbours.

    Items drawn at random hardly ever hold two neighbours, and then the neighbourhood terms have nothing to learn from.
    """

    def __init__(self, graph: Tensor, seeds: int, neighbours: int, generator: torch.Generator) -> None:
        self._graph = graph
        self._seeds = min(seeds, len(graph))
        self._neighbours = min(neighbours, graph.shape[1])
        self._generator = generator
        self.order = torch.empty(0, dtype=torch.long)
        self.size = self._seeds * (1 + self._neighbours)

    def __next__(self) -> Tensor:
        """Rows (m,) int64; an item may come more than once."""
        if len(self.order) < self._seeds:
            self.order = torch.randperm(len(self._graph), generator=self._generator)
        seeds, self.order = self.order[: self._seeds], self.order[self._seeds :]
        keys = torch.rand((self._seeds, self._graph.shape[1]), generator=self._generator)
        chosen = keys.argsort(dim=1)[:, : self._neighbours]
        return torch.cat([seeds, self._graph[seeds].gather(1, chosen).T.reshape(-1)])


def schedule(step: int, total: int) -> float:
    """Share of the learning rate: a short linear warm-up within one half cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / total))


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; of several GPUs, each process of torchrun has its own."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InvalidInputError(f"expected a device that PyTorch has here, got {name!r}: {reason}") from None
    return device

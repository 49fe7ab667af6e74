"""Checkpoints: all that decides the rest of a training run, as one safetensors file, written beside and renamed."""

import hashlib
import json
import time
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from models.errors import InvalidInputError
from models.training.config import Config
from models.training.history import History
from models.training.network import Autoencoder
from models.training.ranks import ALONE, Ranks
from models.training.sample import Sample


def run_key(config: Config, data: str | Sample) -> str:
    """What a run is known by: its config, its data (or a checksum) and the code that trains, as 16 hex digits."""
    digest = hashlib.sha256(json.dumps(config.card(), sort_keys=True).encode())
    digest.update(data.encode() if isinstance(data, str) else data.inputs.numpy().data)
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


class Order(Protocol):
    """What is left of an order of items."""

    order: Tensor


class Checkpoint:
    """Saves network, optimiser, random numbers, order of items and history; without a path it does nothing."""

    def __init__(
        self,
        path: Path | None,
        seconds: float,
        config: Config,
        sample: Sample,
        network: Autoencoder,
        optimizer: torch.optim.Adam,
        generator: torch.Generator,
        batches: Order,
        history: History,
    ) -> None:
        self._path, self._seconds = path, seconds
        self._network, self._optimizer, self._generator = network, optimizer, generator
        self._batches, self._history = batches, history
        self._saved = time.monotonic()
        self._run = "" if path is None else run_key(config, sample)

    def save(self, done: int) -> None:
        """Write the state after `done` steps, if the last time is `seconds` ago or more."""
        if self._path is None or time.monotonic() - self._saved < self._seconds:
            return
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        for number, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        tensors |= {f"losses.{name}": torch.tensor(v, dtype=torch.float64) for name, v in self._history.losses.items()}
        tensors["health"] = torch.tensor(self._history.health, dtype=torch.float64)
        tensors["generator"], tensors["order"] = self._generator.get_state(), self._batches.order.clone()
        sibling = self._path.with_name(self._path.name + ".new")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.contiguous() for name, value in tensors.items()},
            sibling,
            metadata={"run": self._run, "done": str(done)},
        )
        sibling.replace(self._path)
        self._saved = time.monotonic()

    def resume(self, ranks: Ranks = ALONE) -> int:
        """Restore what the first process's file holds, if there is one; returns the number of steps that are done."""
        content = self._path.read_bytes() if self._path is not None and self._path.exists() else None
        content = ranks.from_first(content)
        if content is None:
            return 0
        try:
            tensors, said = load(content), _metadata(content)
        except (SafetensorError, ValueError) as error:
            raise InvalidInputError(f"expected {self._path} to be a checkpoint, got a damaged file: {error}") from None
        # Of the others, none has a path: it is for the first to say.
        if self._path is not None and said.get("run") != self._run:
            raise InvalidInputError(
                f"expected {self._path} to be a checkpoint of this run, got one of other data, options or code"
            )
        self._network.load_state_dict(_part(tensors, "network."))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "adam.").items():
            number, name = key.split(".")
            state.setdefault(int(number), {})[name] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self._generator.set_state(tensors["generator"])
        self._batches.order = tensors["order"]
        for name, value in _part(tensors, "losses.").items():
            self._history.losses[name] = value.tolist()
        self._history.health = [
            (int(step), entropy, distinct) for step, entropy, distinct in tensors["health"].tolist()
        ]
        return int(said["done"])


def _metadata(content: bytes) -> dict[str, str]:
    """What a safetensors file says beside its tensors: its header is JSON, after 8 bytes that tell its length."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said: dict[str, str] = header.get("__metadata__", {})
    return said


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""How training went: the loss of every step, term by term, and now and then the health of the codes."""

import numpy as np
import torch
from torch import Tensor

from models.codes import pack
from models.evaluation.metrics import bit_entropy, distinct_share
from models.training.network import Autoencoder

WATCHED = 2000
LOOKS = 40


class History:
    """Curves that grow with training.

    `losses` has a list of one number a step for each term and for their weighted `total`; `health` a list of
    (step, bit entropy, share of distinct codes), on the same items each time.
    """

    def __init__(self, names: tuple[str, ...], inputs: Tensor, seed: int) -> None:
        self.losses: dict[str, list[float]] = {name: [] for name in names}
        self.health: list[tuple[int, float, float]] = []
        chosen = np.random.default_rng(seed).permutation(len(inputs))[:WATCHED]
        self._watched = inputs[chosen]

    def add(self, losses: dict[str, Tensor], network: Autoencoder, step: int, total: int) -> None:
        """Note the losses of one step, and now and then look at the codes."""
        for name, value in losses.items():
            self.losses[name].append(float(value.detach()))
        if step % max(1, total // LOOKS) == 0 or step == total - 1:
            with torch.no_grad():
                device = next(network.parameters()).device
                codes = pack(network.encoder(self._watched.to(device)).cpu().numpy())
            self.health.append((step + 1, bit_entropy(codes), distinct_share(codes)))

    def final_losses(self) -> dict[str, float]:
        """The mean loss of the last tenth of the steps, by term; empty where there were none."""
        return {name: float(np.mean(v[-max(1, len(v) // 10) :])) for name, v in self.losses.items() if v}

    def status(self) -> str:
        """One line: where training is now."""
        if not self.health:
            return ""
        _, entropy, distinct = self.health[-1]
        return f"loss {np.mean(self.losses['total'][-20:]):.3f}, entropy {entropy:.3f}, distinct {distinct:.3f}"

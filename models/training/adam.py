"""Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1), to the last bit what `torch.optim.Adam` computes on a CPU.

Every optimizer of PyTorch imports its compiler when it is made: three seconds, which most trainings here do not last.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Moving averages of each parameter's gradient and of its square, and the number of steps taken."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move each parameter that has a gradient against it; `rate` is the step's learning rate."""
        self._steps += 1
        share = rate / (1 - BETA_1**self._steps)
        root = (1 - BETA_2**self._steps) ** 0.5
        for parameter, mean, square in zip(self._parameters, self._means, self._squares, strict=True):
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 1 - BETA_1)
            square.mul_(BETA_2).addcmul_(parameter.grad, parameter.grad, value=1 - BETA_2)
            parameter.addcdiv_(mean, (square.sqrt() / root).add_(EPSILON), value=-share)

    def state(self) -> dict[str, Tensor]:
        """All that the next steps depend on, by name."""
        tensors = {"steps": torch.tensor(self._steps)}
        for number, (mean, square) in enumerate(zip(self._means, self._squares, strict=True)):
            tensors |= {f"{number}.mean": mean, f"{number}.square": square}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._steps = int(tensors["steps"])
        for number, (mean, square) in enumerate(zip(self._means, self._squares, strict=True)):
            mean.copy_(tensors[f"{number}.mean"])
            square.copy_(tensors[f"{number}.square"])

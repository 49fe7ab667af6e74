"""Corruption of inputs for denoising (Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 3.3)."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

    from models.training.sample import Sample

KINDS = ("masking", "gaussian", "salt-and-pepper", "manifold")
UNBOUNDED = ("gaussian", "manifold")


@dataclass(frozen=True)
class Corruption:
    """How items are damaged before the encoder sees them.

    `masking` sets a share `level` of the features to zero, `salt-and-pepper` sets it to the feature's least or
    greatest value in the batch with equal chance, `gaussian` adds noise whose standard deviation is `level`
    times that of all features. `manifold` adds `level` times the difference between a random item and one of its
    nearest neighbours, with a random sign: noise that has the shape of the differences between neighbours.
    """

    kind: str
    level: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInputError(f"expected a corruption of {', '.join(KINDS)}, got {self.kind!r}")
        if not 0 <= self.level <= (sys.float_info.max if self.kind in UNBOUNDED else 1):
            raise InvalidInputError(
                f"expected a level of 0 to 1 ({' and '.join(UNBOUNDED)}: 0 or more), got {self.level}"
            )

    def inputs(self, sample: "Sample", rows: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
        """Inputs (m, r) of the items `rows` (m,) of a sample, corrupted."""
        if self.kind == "manifold":
            return sample.inputs[rows] + self.level * neighbour_differences(sample, len(rows), generator)
        return sample.project(self(sample.features[rows], generator))

    def __call__(self, features: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
        """Corrupted copy of features (n, d); `manifold` needs a sample with a graph (`inputs`)."""
        import torch  # seconds to import, and commands refuse their arguments before

        if self.kind == "gaussian":
            noise = torch.randn(features.shape, generator=generator).to(features)
            return features + self.level * features.std() * noise
        hit = (torch.rand(features.shape, generator=generator) < self.level).to(features.device)
        if self.kind == "masking":
            return features.masked_fill(hit, 0.0)
        salt = (torch.rand(features.shape, generator=generator) < 0.5).to(features.device)
        extreme = torch.where(salt, features.amax(dim=0), features.amin(dim=0))
        return torch.where(hit, extreme, features)


def neighbour_differences(sample: "Sample", number: int, generator: "torch.Generator") -> "torch.Tensor":
    """`+-(x_a - x_b)` (number, r): a is a random item and b one of its neighbours in the graph."""
    import torch

    graph = sample.graph
    first = torch.randint(len(graph), (number,), generator=generator)
    second = graph[first, torch.randint(graph.shape[1], (number,), generator=generator)]
    signs = torch.randint(2, (number, 1), generator=generator) * 2 - 1
    return signs * (sample.inputs[first] - sample.inputs[second])

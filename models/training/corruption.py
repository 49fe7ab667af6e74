"""Corruption of inputs for denoising (Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 3.3)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

KINDS = ("masking", "gaussian", "salt-and-pepper")


@dataclass(frozen=True)
class Corruption:
    """How features are damaged before the encoder sees them.

    `masking` sets a share `level` of the features to zero, `salt-and-pepper` sets it to the feature's least or
    greatest value in the batch with equal chance, `gaussian` adds noise whose standard deviation is `level`
    times that of all features.
    """

    kind: str
    level: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInputError(f"expected a corruption of {', '.join(KINDS)}, got {self.kind!r}")
        if not 0 <= self.level <= (float("inf") if self.kind == "gaussian" else 1):
            raise InvalidInputError(f"expected a level of 0 to 1 (gaussian: 0 or more), got {self.level}")

    def __call__(self, features: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
        """Corrupted copy of features (n, d)."""
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

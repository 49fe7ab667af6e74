"""The encoder's geometry at items: Jacobians, their spectrum and tangent directions, and saturated units.

Rifai et al., "Contractive Auto-Encoders", ICML 2011: a contractive encoder has a small Jacobian dh / dx with few large
singular values, whose right singular vectors span the manifold's tangent space; most of its units are saturated.
"""

import torch
from torch import Tensor, nn

SATURATED = 0.05


def jacobians(encoder: nn.Module, inputs: Tensor) -> Tensor:
    """`dh / dx` of the sigmoid units h at inputs (m, r), as (m, bits, r); encoder gives logits (m, bits)."""

    def units(row: Tensor) -> Tensor:
        return torch.sigmoid(encoder(row[None]))[0]

    found: Tensor = torch.func.vmap(torch.func.jacrev(units))(inputs)
    return found.detach()


def mean_squared_norm(jacobian: Tensor) -> float:
    """Mean over the items of the squared Frobenius norm of Jacobians (m, bits, r)."""
    return float(jacobian.square().sum(dim=(1, 2)).mean())


def saturated_share(activations: Tensor) -> float:
    """The share of sigmoid units (m, bits) under 0.05 or over 0.95."""
    return float(((activations < SATURATED) | (activations > 1 - SATURATED)).float().mean())


def singular_values(jacobian: Tensor) -> Tensor:
    """Singular values (m, min(bits, r)) of Jacobians (m, bits, r), largest first."""
    values: Tensor = torch.linalg.svdvals(jacobian)
    return values


def values_that_hold(singular: Tensor, share: float) -> Tensor:
    """How many of the largest singular values (m, s) hold `share` of their sum, as (m,) int64; 0 where all are 0."""
    held = singular.cumsum(dim=1)
    total = held[:, -1:]
    missing: Tensor = (held < share * total).sum(dim=1)
    return torch.where(total[:, 0] > 0, missing + 1, 0)


def tangent_directions(jacobian: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The directions in which codes change most: unit right singular vectors (m, number, r), and their singular values.

    Their signs are arbitrary.
    """
    _, values, directions = torch.linalg.svd(jacobian, full_matrices=False)
    return directions[:, :number], values[:, :number]

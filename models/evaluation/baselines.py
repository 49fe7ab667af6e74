"""Baselines: what the same number of bits is worth without learning more than a linear map."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.itq import (
    LinearHash,
    Principal,
    fit_itq,
    fit_pca_sign,
    fit_random_projections,
    fit_signs,
    principal_directions,
)
from models.rows import Rows

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Features (n, d) -> logits (n, bits)."""


def linear_hashes(base: Rows, bits: int, principal: Principal | None = None) -> dict[str, LinearHash]:
    """Linear hashes fitted to the base items (n, d), by name; `principal` are their directions, where known.

    PCA-ITQ, the signs of the principal components (bits <= d), those of the features (bits >= d), random projections.
    """
    principal = principal or principal_directions(base)
    found = {"PCA-ITQ": fit_itq(base, bits, principal=principal)}
    if bits <= base.shape[1]:
        found["PCA sign"] = fit_pca_sign(base, bits, principal)
    if bits >= base.shape[1]:
        found["unrotated sign"] = fit_signs(base, bits)
    found["random projections"] = fit_random_projections(base, bits)
    return found


def baselines(base: Rows, bits: int, principal: Principal | None = None) -> dict[str, Encode]:
    """The encoders of `linear_hashes`."""
    return {name: found.logits for name, found in linear_hashes(base, bits, principal).items()}

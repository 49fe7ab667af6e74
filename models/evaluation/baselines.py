"""Baselines: what the same number of bits is worth without learning more than a linear map."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.itq import fit_itq, fit_pca_sign, fit_random_projections
from models.rows import Rows

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Features (n, d) -> logits (n, bits)."""


def baselines(base: Rows, bits: int) -> dict[str, Encode]:
    """Encoders fitted to the base items: PCA-ITQ, the signs of the components (if there are enough), random."""
    found: dict[str, Encode] = {"PCA-ITQ": fit_itq(base, bits).logits}
    if bits <= base.shape[1]:
        found["PCA sign"] = fit_pca_sign(base, bits).logits
    found["random projections"] = fit_random_projections(base, bits).logits
    return found

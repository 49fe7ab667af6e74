"""From features to the network's inputs and back: the leading principal components, to one common scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.itq import Matrix, Principal, principal_directions
from models.rows import BLOCK, Rows


@dataclass(frozen=True)
class Projection:
    """`inputs = (features - mean) @ directions * scale`; directions is (d, r) with orthonormal columns."""

    mean: NDArray[np.float64]
    directions: Matrix
    scale: float

    def forward(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Inputs (n, r) float32 of features (n, d) float32."""
        inputs = np.empty((len(features), self.directions.shape[1]), np.float32)
        # By blocks: the product is in double precision, and all of it at once would take eight times the memory.
        for start in range(0, len(features), BLOCK):
            inputs[start : start + BLOCK] = (features[start : start + BLOCK] - self.mean) @ self.directions * self.scale
        return inputs


def fit_projection(features: Rows, components: int, principal: Principal | None = None) -> Projection:
    """The leading principal components, scaled together so that an input's mean square is 1.

    One scale for all, not one each: whitening would drown the distances between neighbours in noise.
    """
    mean, variances, directions = principal or principal_directions(features)
    total = float(variances.sum())
    if total <= 1e-14 * float(np.square(mean).sum()):
        raise InvalidInputError("expected items that differ, got items whose features are all the same, or nearly so")
    kept = min(components, directions.shape[1])
    return Projection(mean, directions[:, :kept], float(np.sqrt(kept / variances[:kept].sum())))

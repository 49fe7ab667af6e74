"""Neighbourhood: codes are to be as similar as the items are, judged within a batch that holds neighbours.

As in stochastic neighbour embedding (Hinton and Roweis, NIPS 2002), each item's similarities to the rest of the batch
become a distribution by softmax; the loss is the cross-entropy of the codes' distribution against the inputs'.
The temperatures come from the data, so that one set of weights serves images and text (docs/decisions/0003, 0007).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from models.training.network import binary_code
from models.training.terms.step import Data, Step

PERPLEXITY = 14.0
SMOOTHED_PERPLEXITY = 30.0
SMOOTHED_TEMPERATURE = 0.2
SAMPLE_BATCHES = 4
SHARED_VARIANCE_GAIN = 1.2
HIDDEN_VARIANCE_GAIN = 4.0
CLUSTER_EXPONENT = 1.5


class Similarity:
    """Cross-entropy against the softmax of `-beta |x - y|^2` over the inputs; keeps the order of neighbours."""

    def __init__(self, data: Data) -> None:
        batches = [data.sample_batch() for _ in range(SAMPLE_BATCHES)]
        self._beta = beta_for_perplexity(_all_distances(data.sample.inputs, batches), PERPLEXITY)
        self._temperature = code_temperature(data, batches)

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        target = torch.softmax(-self._beta * _squared_distances(step.clean, step.all_clean, step.same), dim=1)
        return _cross_entropy(target, step, self._temperature)


class SmoothedSimilarity:
    """The same against inputs averaged over the neighbour graph, by cosine; draws whole clusters together.

    Its value is scaled by a power of the share of variance that the smoothing keeps: where neighbours have little in
    common, as in high-dimensional text vectors, there are no clusters to draw together.
    """

    def __init__(self, data: Data) -> None:
        self._unit = functional.normalize(data.sample.smoothed, dim=1)
        self._worth = float(data.sample.shared**CLUSTER_EXPONENT)
        batches = [data.sample_batch() for _ in range(SAMPLE_BATCHES)]
        self._beta = beta_for_perplexity(_all_distances(self._unit, batches), SMOOTHED_PERPLEXITY)

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        others = self._unit[step.all_rows].to(step.code.device)
        target = torch.softmax(-self._beta * _squared_distances(step.ranks.share(others), others, step.same), dim=1)
        loss: Tensor = self._worth * _cross_entropy(target, step, SMOOTHED_TEMPERATURE)
        return loss


def code_temperature(data: Data, batches: list[Tensor]) -> float:
    """The softmax temperature of the codes' cosines.

    At the start (PCA-ITQ) it would give codes the inputs' own perplexity; it is raised by what neighbours share and by
    the square of the share of variance outside the leading `bits` components, which no code of that length can follow.
    """
    inputs, encoder = data.sample.inputs, data.network.encoder.linear
    bits = encoder.out_features
    with torch.no_grad():
        codes = [binary_code(encoder(inputs[rows])) / math.sqrt(bits) for rows in batches]
    distances = [_squared_distances(code, code, _same(rows)) for code, rows in zip(codes, batches, strict=True)]
    # |a - b|^2 = 2 - 2 cos for unit codes: a temperature t on cosines is a beta of 1 / (2 t) on squared distances.
    start = 1 / (2 * beta_for_perplexity(distances, PERPLEXITY))
    variances = inputs.var(dim=0)
    hidden = float(variances.sort(descending=True).values[bits:].sum() / variances.sum())
    return start * (1 + SHARED_VARIANCE_GAIN * data.sample.shared + HIDDEN_VARIANCE_GAIN * hidden**2)


def beta_for_perplexity(distances: list[Tensor], perplexity: float, iterations: int = 40) -> float:
    """The one beta for which `softmax(-beta distances)` has this perplexity on (geometric) average, by bisection."""
    low, high = -15.0, 15.0
    shifted = torch.cat([block - block.min(dim=1, keepdim=True).values for block in distances])
    for _ in range(iterations):
        middle = (low + high) / 2
        share = torch.softmax(-shifted * math.exp(middle), dim=1)
        entropy = float(-(share * share.clamp_min(1e-12).log()).sum(dim=1).mean())
        low, high = (middle, high) if entropy > math.log(perplexity) else (low, middle)
    return math.exp((low + high) / 2)


def _all_distances(points: Tensor, batches: list[Tensor]) -> list[Tensor]:
    chosen = [points[rows] for rows in batches]
    return [_squared_distances(some, some, _same(rows)) for some, rows in zip(chosen, batches, strict=True)]


def _squared_distances(points: Tensor, others: Tensor, same: Tensor) -> Tensor:
    """(m, M) squared L2 distances of points (m, r) to others (M, r); those of an item to itself are out of reach."""
    squares = points.square().sum(dim=1)[:, None] + others.square().sum(dim=1)[None]
    distances = torch.addmm(squares, points, others.T, alpha=-2).clamp_min(0)
    return distances.masked_fill(same, 1e30)


def _cross_entropy(target: Tensor, step: Step, temperature: float) -> Tensor:
    """Mean over the items i of `-sum_j target_ij log softmax_j(cosine_ij / temperature)`, over all items j but i."""
    scaled = (step.cosines / temperature).masked_fill(step.same, -1e9)
    chosen = (target * step.cosines).sum(dim=1) / temperature
    return (torch.logsumexp(scaled, dim=1) - chosen).mean()


def _same(rows: Tensor) -> Tensor:
    return rows[:, None] == rows[None]

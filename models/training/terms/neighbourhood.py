"""Neighbourhood: codes are to be as similar as the items are, judged within a batch that holds neighbours.

As in stochastic neighbour embedding (Hinton and Roweis, NIPS 2002), each item's similarities to the rest of the batch
become a distribution by softmax; the loss is the cross-entropy of the codes' distribution against the inputs'.
The temperatures come from the data, so that one set of weights serves images and text (docs/decisions/0003).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from models.training.network import binary_code
from models.training.terms.step import Data, Step

PERPLEXITY = 10.0
SMOOTHED_PERPLEXITY = 30.0
SMOOTHED_TEMPERATURE = 0.2
SMOOTHING_ROUNDS = 8
SAMPLE_BATCHES = 4
HIDDEN_VARIANCE_GAIN = 2.0


class Similarity:
    """Cross-entropy against the softmax of `-beta |x - y|^2` over the inputs; keeps the order of neighbours."""

    def __init__(self, data: Data) -> None:
        inputs, batches = data.inputs, [data.sample_batch() for _ in range(SAMPLE_BATCHES)]
        self._beta = beta_for_perplexity([_squared_distances(inputs[rows], rows) for rows in batches], PERPLEXITY)
        self._temperature = code_temperature(data, batches)

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        target = torch.softmax(-self._beta * _squared_distances(step.clean, step.rows), dim=1)
        return _cross_entropy(target, step, self._temperature)


class SmoothedSimilarity:
    """The same against inputs averaged over the neighbour graph, by cosine; draws whole clusters together.

    Its value is scaled by the share of variance that the smoothing keeps: where neighbours have little in common,
    as in high-dimensional text vectors, there are no clusters to draw together.
    """

    def __init__(self, data: Data) -> None:
        smoothed, self._kept = smooth(data.inputs, data.graph)
        self._unit = functional.normalize(smoothed, dim=1)
        batches = [data.sample_batch() for _ in range(SAMPLE_BATCHES)]
        distances = [_squared_distances(self._unit[rows], rows) for rows in batches]
        self._beta = beta_for_perplexity(distances, SMOOTHED_PERPLEXITY)

    def __call__(self, step: Step) -> Tensor:
        """Scalar."""
        target = torch.softmax(-self._beta * _squared_distances(self._unit[step.rows], step.rows), dim=1)
        return self._kept * _cross_entropy(target, step, SMOOTHED_TEMPERATURE)


def smooth(inputs: Tensor, graph: Tensor) -> tuple[Tensor, float]:
    """Inputs (n, r) averaged with their neighbours' for some rounds, centred, and the share of variance kept."""
    smoothed = inputs
    for _ in range(SMOOTHING_ROUNDS):
        total = smoothed.clone()
        for column in graph.T:
            total += smoothed[column]
        smoothed = total / (graph.shape[1] + 1)
    smoothed = smoothed - smoothed.mean(dim=0)
    return smoothed, float(smoothed.square().sum() / inputs.square().sum())


def code_temperature(data: Data, batches: list[Tensor]) -> float:
    """The softmax temperature of the codes' cosines.

    At the start (PCA-ITQ) it would give codes the inputs' own perplexity; it is raised by what neighbours share and
    by the variance that is outside the leading `bits` components, which no code of that length can follow.
    """
    bits = data.network.encoder.linear.out_features
    with torch.no_grad():
        codes = [binary_code(data.network.encoder.linear(data.inputs[rows])) / math.sqrt(bits) for rows in batches]
    distances = [_squared_distances(code, rows) for code, rows in zip(codes, batches, strict=True)]
    # |a - b|^2 = 2 - 2 cos for unit codes: a temperature t on cosines is a beta of 1 / (2 t) on squared distances.
    start = 1 / (2 * beta_for_perplexity(distances, PERPLEXITY))
    variances = data.inputs.var(dim=0)
    hidden = float(variances.sort(descending=True).values[bits:].sum() / variances.sum())
    return start * (1 + smooth(data.inputs, data.graph)[1] + HIDDEN_VARIANCE_GAIN * hidden)


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


def _squared_distances(points: Tensor, rows: Tensor) -> Tensor:
    """(m, m) squared L2 distances; an item's distance to itself is set out of reach."""
    squares = points.square().sum(dim=1)
    distances = (squares[:, None] + squares[None] - 2 * points @ points.T).clamp_min(0)
    return distances.masked_fill(_same(rows), 1e30)


def _cross_entropy(target: Tensor, step: Step, temperature: float) -> Tensor:
    same = _same(step.rows)
    similarity = step.code @ step.code.T / step.code.shape[1]
    logarithm = torch.log_softmax((similarity / temperature).masked_fill(same, -1e9), dim=1)
    return -(target * logarithm.masked_fill(same, 0)).sum(dim=1).mean()


def _same(rows: Tensor) -> Tensor:
    return rows[:, None] == rows[None]

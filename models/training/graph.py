"""The nearest-neighbour graph that batches are drawn from: exact for few items, by clusters for many."""

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from models.neighbours import nearest
from models.rows import BLOCK

COMPONENTS = 128
"""Neighbours are sought among so many leading components: what is left out is noise to codes (docs/decisions/0007)."""
EXACT = 20_000
ITEMS_A_CLUSTER = 256
PROBES = 32
"""Clusters that are searched for an item's neighbours: the more, the more of them are found (docs/decisions/0007)."""
SAMPLE_A_CLUSTER = 60
ROUNDS = 10

Track = Callable[[Iterable[int]], Iterable[int]]


def neighbour_graph(inputs: Tensor, k: int, seed: int, track: Track = lambda numbers: numbers) -> Tensor:
    """Rows (n, k) int64 of the k nearest other items of each of inputs (n, r), nearest first; k < n."""
    near = inputs[:, :COMPONENTS].contiguous()
    if len(near) <= EXACT:
        return torch.from_numpy(nearest(near.numpy(), near.numpy(), k, itself=True, track=track)[0])
    return _by_clusters(near, k, seed, track)


def _by_clusters(points: Tensor, k: int, seed: int, track: Track) -> Tensor:
    centres = _centres(points, len(points) // ITEMS_A_CLUSTER, seed)
    starts = range(0, len(points), BLOCK)
    home = torch.cat([_squared(points[start : start + BLOCK], centres).argmin(dim=1) for start in starts])
    order = home.argsort(stable=True)
    ends = torch.bincount(home, minlength=len(centres)).cumsum(0)
    members = [
        order[int(end - size) : int(end)] for end, size in zip(ends, ends.diff(prepend=ends.new_zeros(1)), strict=True)
    ]
    probed = _squared(centres, centres).argsort(dim=1, stable=True)[:, :PROBES]
    found = torch.empty((len(points), k), dtype=torch.long)
    for number in track(range(len(centres))):
        rows = members[number]
        if not len(rows):
            continue
        candidates = torch.cat([members[int(other)] for other in probed[number]])
        if len(candidates) <= k:
            candidates = torch.arange(len(points))
        # Where many items are equal one cluster holds them all: a few rows at a time keep memory bounded.
        for start in range(0, len(rows), ITEMS_A_CLUSTER):
            some = rows[start : start + ITEMS_A_CLUSTER]
            distances = _squared(points[some], points[candidates])
            distances[some[:, None] == candidates] = torch.inf
            found[some] = candidates[distances.topk(k, dim=1, largest=False).indices]
    return found


def _centres(points: Tensor, number: int, seed: int) -> Tensor:
    """K-means centres (number, r) of a sample of the points."""
    from sklearn.cluster import KMeans  # two seconds to import, and only many items need it

    chosen = np.random.default_rng(seed).permutation(len(points))[: number * SAMPLE_A_CLUSTER]
    means = KMeans(number, init="random", n_init=1, max_iter=ROUNDS, random_state=seed % 2**32)
    with warnings.catch_warnings():
        # Where many items are equal there are fewer clusters than asked for: that is no fault.
        warnings.simplefilter("ignore")
        means.fit(points[np.sort(chosen)].numpy())
    return torch.from_numpy(means.cluster_centers_).float()


def _squared(points: Tensor, others: Tensor) -> Tensor:
    """(m, n) squared L2 distances less the square of each of the m points, which changes no order."""
    return others.square().sum(dim=1) - 2 * points @ others.T

"""Smoothing: items averaged with their neighbours, again and again, so that what is left is what clusters share.

A random walk on the neighbour graph (as in diffusion maps, Coifman and Lafon 2006), applied to the inputs.
"""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

ROUNDS = 16


def smooth(inputs: Tensor, graph: Tensor, rounds: int = ROUNDS) -> Tensor:
    """Inputs (n, r), each replaced `rounds` times by the mean of itself and its neighbours (n, k), then centred."""
    items, neighbours = graph.shape
    columns = torch.cat([torch.arange(items)[:, None], graph], dim=1).reshape(-1).numpy()
    starts = np.arange(items + 1) * (neighbours + 1)
    shares = np.full(len(columns), 1 / (neighbours + 1), np.float32)
    walk = csr_matrix((shares, columns, starts), shape=(items, items))
    smoothed = inputs.numpy()
    for _ in range(rounds):
        smoothed = walk @ smoothed
    found = torch.from_numpy(smoothed)
    return found - found.mean(dim=0)

import numpy as np
import pytest
import torch

from models.neighbours import nearest
from models.training import graph
from models.training.graph import neighbour_graph


def _clustered(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(
        (rng.standard_normal((40, 12))[rng.integers(0, 40, n)] * 2 + rng.standard_normal((n, 12))).astype(np.float32)
    )


def test_few_items_get_their_exact_neighbours() -> None:
    points = _clustered(300)
    assert torch.equal(
        neighbour_graph(points, 5, 0), torch.from_numpy(nearest(points.numpy(), points.numpy(), 5, True)[0])
    )


def test_many_items_get_nearly_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "EXACT", 1000)
    points = _clustered(6000)
    found = neighbour_graph(points, 10, 0)
    true = nearest(points.numpy(), points.numpy(), 10, itself=True)[0]
    assert not (found == torch.arange(6000)[:, None]).any()
    distances = (points[:, None] - points[found]).square().sum(dim=2)
    assert bool((distances.diff(dim=1) >= -1e-4).all())
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found.numpy(), true, strict=True)])
    assert recall > 0.9
    assert torch.equal(found, neighbour_graph(points, 10, 0))


def test_equal_items_and_empty_clusters_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "EXACT", 1000)
    points = torch.cat([torch.zeros(1990, 3), torch.eye(3).repeat(4, 1)[:10] * 9])
    found = neighbour_graph(points, 4, 0)
    assert not (found == torch.arange(2000)[:, None]).any()
    assert bool((points[found[:1990]] == 0).all())

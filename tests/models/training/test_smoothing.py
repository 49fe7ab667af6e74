import pytest
import torch

from models.training.inputs import Projection
from models.training.sample import Sample
from models.training.smoothing import smooth

INPUTS = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
GRAPH = torch.tensor([[1], [0], [3], [2]])


def test_smoothing_averages_over_the_graph() -> None:
    assert smooth(INPUTS, GRAPH).flatten().tolist() == [-5.0, -5.0, 5.0, 5.0]
    # An item that no one is a neighbour of, and one round: each the mean of itself and its neighbour, less the mean.
    once = smooth(torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[1], [2], [1]]), rounds=1)
    assert torch.allclose(once.flatten(), torch.tensor([1.0, 3.0, 3.0]) - 7 / 3)


def test_what_neighbours_share() -> None:
    projection = Projection(torch.zeros(1).numpy(), torch.eye(1).numpy(), 1.0)
    sample = Sample(INPUTS, projection, INPUTS, 1, 0)
    assert torch.equal(sample.graph, GRAPH)
    assert sample.shared == pytest.approx(100 / float(INPUTS.square().sum()))

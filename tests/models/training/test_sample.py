import numpy as np
import torch

from models.training import sample as module
from models.training.config import Config
from models.training.graph import neighbour_graph
from models.training.loop import fit
from models.training.prepare import draw_sample


def test_plain_batches_never_ask_for_the_neighbour_graph(monkeypatch) -> None:
    features = np.random.default_rng(0).standard_normal((200, 12)).astype(np.float32)
    config = Config(8, "contractive", 2, hidden=0, neighbours_a_seed=0)

    def refuse(*_: object) -> torch.Tensor:
        raise AssertionError("the graph was asked for")

    monkeypatch.setattr(module, "neighbour_graph", refuse)
    trained = fit(draw_sample(features, config), config)
    assert len(trained.history.losses["total"]) == config.steps(200)


def test_the_graph_is_found_once() -> None:
    features = np.random.default_rng(0).standard_normal((50, 12)).astype(np.float32)
    sample = draw_sample(features, Config(neighbours=4, seed=3))
    assert torch.equal(sample.graph, neighbour_graph(sample.inputs, 4, 3))
    assert sample.graph is sample.graph
    few = draw_sample(features, Config(neighbours=100))
    assert few.graph.shape == (50, 49)

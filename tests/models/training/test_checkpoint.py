from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import InvalidInputError
from models.training.config import Config
from models.training.corruption import Corruption
from models.training.loop import fit
from models.training.prepare import draw_sample
from models.training.sample import Sample

CONFIG = Config(bits=16, epochs=6, hidden=8, objective="contractive", corruption=Corruption("gaussian", 0.1))


@pytest.fixture
def sample() -> Sample:
    return draw_sample(np.random.default_rng(0).standard_normal((400, 12)).astype(np.float32), CONFIG)


def _stopped(steps: Iterable[int], status: Callable[[], str]) -> Iterator[int]:
    for step in steps:
        if step == 20:
            raise KeyboardInterrupt
        yield step


def test_a_run_that_was_stopped_ends_in_the_same_codes(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "run"
    whole = fit(sample, CONFIG)
    with pytest.raises(KeyboardInterrupt):
        fit(sample, CONFIG, _stopped, path, 0.0)
    started: list[int] = []

    def watched(steps: Iterable[int], status: Callable[[], str]) -> Iterator[int]:
        for step in steps:
            started.append(step)
            yield step

    resumed = fit(sample, CONFIG, watched, path, 0.0)
    assert started[0] == 20
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    assert resumed.history.losses == whole.history.losses
    assert resumed.history.health == whole.history.health
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "run"
    fit(sample, CONFIG, checkpoint=path, checkpoint_seconds=0.0)
    with pytest.raises(InvalidInputError, match="other data, options or code"):
        fit(sample, Config(bits=16, epochs=7, hidden=8), checkpoint=path)
    other = draw_sample(np.random.default_rng(1).standard_normal((400, 12)).astype(np.float32), CONFIG)
    with pytest.raises(InvalidInputError, match="other data, options or code"):
        fit(other, CONFIG, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidInputError, match="damaged"):
        fit(sample, CONFIG, checkpoint=path)


def test_nothing_is_written_before_it_is_time(sample: Sample, tmp_path: Path) -> None:
    fit(sample, CONFIG, checkpoint=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []

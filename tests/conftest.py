"""Hashers of each modality, trained once for all tests by the command that users run."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling

from service.settings import Settings
from tests.serving import running
from tests.shared import made_once
from tests.spreading import ByFile, longest_first

DIMENSION = 12


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: the tests of faults at the sizes of a nightly run; `--seed`: to draw again what failed."""
    parser.addoption("--long", action="store_true", help="run the tests of faults at length: half an hour")
    parser.addoption("--seed", type=int, help="what the tests of faults draw by; printed by each")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest is begun first."""
    items[:] = longest_first(items)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Several processes (`-n`) take files, not tests."""
    return ByFile(config, log)


def _train(data: str, name: str, out: Path) -> None:
    command = [sys.executable, "-m", "scripts.train", data, "--name", name, "--epochs", "1", "--hidden", "32"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


def _train_all(folder: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((400, DIMENSION)).astype(np.float32)
    np.savez(folder / "vectors.npz", x=vectors)
    data = {"pydocs": "pydocs", "digits": "digits", "vectors": str(folder / "vectors.npz")}
    # Each takes one core.
    with ThreadPoolExecutor(2) as threads:
        for trained in [threads.submit(_train, data[name], name, folder) for name in data]:
            trained.result()


@pytest.fixture(scope="session")
def hashers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `digits@1` (image), `pydocs@1` (text) and `vectors@1` (12 numbers), 64 bits each."""
    return made_once(tmp_path_factory, "hashers", _train_all)


@pytest.fixture(scope="session")
def served(hashers: Path) -> Path:
    """The directory of hashers that `settings` names; some folders of tests have one with more in it."""
    return hashers


@pytest.fixture(scope="module")
def settings(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The hashers that are served, a data folder of the module's own."""
    return Settings(hashers=served, data=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    """The service by those settings, by plain HTTP."""
    with running(settings) as serving:
        yield serving

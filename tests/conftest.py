"""Hashers of each modality, trained once for all tests by the command that users run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DIMENSION = 12


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: the tests of faults at the sizes of a nightly run; `--seed`: to draw again what failed."""
    parser.addoption("--long", action="store_true", help="run the tests of faults at length: half an hour")
    parser.addoption("--seed", type=int, help="what the tests of faults draw by; printed by each")


def _train(data: str, name: str, out: Path) -> None:
    command = [sys.executable, "-m", "scripts.train", data, "--name", name, "--epochs", "1", "--hidden", "32"]
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def hashers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `digits@1` (image), `pydocs@1` (text) and `vectors@1` (12 numbers), 64 bits each."""
    folder = tmp_path_factory.mktemp("hashers")
    vectors = np.random.default_rng(0).standard_normal((400, DIMENSION)).astype(np.float32)
    np.savez(folder / "vectors.npz", x=vectors)
    _train("digits", "digits", folder)
    _train("pydocs", "pydocs", folder)
    _train(str(folder / "vectors.npz"), "vectors", folder)
    return folder

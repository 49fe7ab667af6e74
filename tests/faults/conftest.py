"""How long tests of faults take, what they draw by, and the services that they start."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.serving import Process


class Start(Protocol):
    """Starts a service over a data folder; its options and keywords are those of `Process`."""

    def __call__(
        self, data: Path, *options: str, prefix: list[str] = ..., environment: dict[str, str] = ...
    ) -> Process:
        """The service, ready."""


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether `--long` was given."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What the test draws by: `--seed`, or another one each time, which is printed."""
    given = request.config.getoption("--seed")
    chosen = secrets.randbelow(2**32) if given is None else int(given)
    print(f"drawn by --seed {chosen}")
    return chosen


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts services that have no hashers; whatever of them still runs in the end is killed."""
    started: list[Process] = []

    def run(
        data: Path, *options: str, prefix: list[str] | None = None, environment: dict[str, str] | None = None
    ) -> Process:
        process = Process(tmp_path / "hashers", data, *options, prefix=prefix or [], environment=environment or {})
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()

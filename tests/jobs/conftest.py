"""Services whose work is told of as jobs, over one data folder each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.jobs.calls import UNDER_WAY
from tests.serving import Process, running

Start = Callable[..., Process]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def served(tmp_path: Path, folder: Path) -> Iterator[httpx.Client]:
    """A service in a thread, so that a test can hold it up."""
    with running(Settings(hashers=tmp_path, data=folder)) as client:
        try:
            yield client
        finally:
            end_imports()


def end_imports() -> None:
    while UNDER_WAY:
        UNDER_WAY.pop().vanish()


@pytest.fixture
def start(tmp_path: Path, folder: Path) -> Iterator[Start]:
    """Starts services over the one folder; all are killed in the end."""
    started: list[Process] = []

    def run(*options: str) -> Process:
        started.append(Process(tmp_path, folder, *options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
    end_imports()

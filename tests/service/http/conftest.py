from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.settings import Settings
from tests.serving import running


@pytest.fixture(scope="module")
def settings(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The hashers of the session, a data folder of the module's own."""
    return Settings(hashers=hashers, data=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as serving:
        yield serving

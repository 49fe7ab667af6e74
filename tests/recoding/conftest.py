"""A directory of several versions of each hasher, which is what is served."""

import os
from pathlib import Path

import pytest

from tests.recoding.made import add_version


@pytest.fixture(scope="session")
def versions(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's hashers; `vectors@2` of 64 bits and `@3` of 128, of the same features; `@4` of unit vectors.

    `pydocs@2` and `digits@2`, of the same features.
    """
    folder = tmp_path_factory.mktemp("versions")
    for trained in ("digits@1", "pydocs@1", "vectors@1"):
        (folder / trained).mkdir()
        for file in (hashers / trained).iterdir():
            os.link(file, folder / trained / file.name)
    add_version(folder, "vectors@1", 2)
    add_version(folder, "vectors@1", 3, bits=128)
    add_version(folder, "vectors@1", 4, scale="unit")
    add_version(folder, "pydocs@1", 2)
    add_version(folder, "digits@1", 2)
    return folder


@pytest.fixture(scope="session")
def served(versions: Path) -> Path:
    return versions

"""A version that its makers took back is not installed, by what a package index says of it."""

import ensurepip
import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Builds what an editable install needs by itself: nothing is fetched for that.
BACKEND = """
import zipfile


def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "project-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        info = "project-1.dist-info"
        needs = "Requires-Dist: good\\nProvides-Extra: more\\nRequires-Dist: bad; extra == 'more'\\n"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: project\\nVersion: 1\\n{needs}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def _offer(index: Path, name: str, yanked: str | None) -> None:
    """Put version 1 of a package into a package index of files (PEP 503)."""
    folder = index / name
    folder.mkdir(parents=True)
    wheel = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        file.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{name}-1.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    said = "" if yanked is None else f' data-yanked="{yanked}"'
    (folder / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest}"{said}>{wheel.name}</a>')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with `scripts/install`, and an index beside it with `good`, and `bad`, which was taken back."""
    folder = tmp_path / "project"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "install", folder / "scripts")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints.txt").write_text(f"pip=={ensurepip.version()}\ngood==1\nbad==1\n")
    _offer(tmp_path / "index", "good", None)
    _offer(tmp_path / "index", "bad", "it deletes everything")
    return folder


def _install(project: Path, extras: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": (project.parent / "index").as_uri()}
    command = ["scripts/install", extras]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=200)


def test_a_version_that_was_taken_back_fails(project: Path) -> None:
    done = _install(project, "none")
    assert done.returncode == 0, done.stderr
    assert (project / ".venv" / "installed").exists()
    for _ in range(2):
        done = _install(project, "more")
        assert done.returncode == 1
        _check(done.stderr)


def _check(told: str) -> None:
    assert "error: expected versions in constraints.txt that their makers stand by" in told
    assert "'bad' candidate (version 1" in told
    assert "Reason for being yanked: it deletes everything" in told
    assert "'good'" not in told

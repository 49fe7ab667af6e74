"""The Dockerfile's own steps, run in a clean virtual environment: no Docker engine is needed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from scripts.datasets import open_dataset
from scripts.documents import in_json
from service.settings import PREFIX, Settings
from tests.serving import client_of, free_port, wait_until_ready

ROOT = Path(__file__).parent.parent
# What of the image lies where in the test's own folder.
FOLDERS = ("/build", "/opt/hammingway", "/data", "/hashers")


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile, with the number of its stage, from 0."""

    stage: int
    instruction: str
    text: str

    def command(self) -> list[str]:
        """The words of an instruction in exec form."""
        words: list[str] = json.loads(self.text[self.text.index("[") :])
        return words


def _steps() -> list[Step]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    steps: list[Step] = []
    stage = -1
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            instruction, text = line.split(maxsplit=1)
            stage += instruction == "FROM"
            steps.append(Step(stage, instruction, text))
    return steps


def _one(instruction: str, stage: int = 1) -> Step:
    (step,) = [step for step in _steps() if (step.instruction, step.stage) == (instruction, stage)]
    return step


@dataclass(frozen=True)
class Image:
    """What the first stage installed, and the environment that the second one sets."""

    root: Path
    environment: dict[str, str]

    def run(self, command: list[str], **options: object) -> subprocess.Popen[str]:
        program = shutil.which(command[0], path=self.environment["PATH"])
        assert program is not None and program.startswith(str(self.root))
        working = self.root / _one("WORKDIR").text.removeprefix("/")
        return subprocess.Popen([program, *command[1:]], env=self.environment, cwd=working, text=True, **options)


def _moved(text: str, root: Path) -> str:
    for folder in FOLDERS:
        text = re.sub(rf"(?<![\w/.]){folder}\b", f"{root}{folder}", text)
    return text


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, hashers: Path) -> Image:
    """The build stage, step by step, in a folder of its own; then the last stage's variables."""
    root = tmp_path_factory.mktemp("image")
    for folder in FOLDERS[:-1]:
        (root / folder.removeprefix("/")).mkdir(parents=True)
    (root / "hashers").symlink_to(hashers)
    build = root / "build"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    for step in _steps():
        if step.stage == 0 and step.instruction == "COPY":
            *sources, target = step.text.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    ignore = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / source, build / target, ignore=ignore)
                else:
                    shutil.copy(ROOT / source, build / target)
        elif step.stage == 0 and step.instruction == "RUN":
            command = ["sh", "-ec", _moved(step.text, root)]
            done = subprocess.run(
                command, cwd=build, env=clean | {"PATH": path}, capture_output=True, text=True, timeout=280
            )
            assert done.returncode == 0, done.stderr
    shutil.rmtree(build)
    variables = dict(pair.split("=", 1) for pair in shlex.split(_one("ENV").text))
    variables = {name: _moved(value, root) for name, value in variables.items()}
    variables["HAMMINGWAY_PORT"] = str(free_port())
    variables["PATH"] = variables["PATH"].replace("$PATH", "/usr/bin:/bin")
    return Image(root, variables)


@pytest.fixture(scope="module")
def container(image: Image) -> Iterator[httpx.Client]:
    """The service as CMD starts it."""
    with (image.root / "log").open("w") as log:
        process = image.run(_one("CMD").command(), stdout=log, stderr=log)
        with client_of(f"http://127.0.0.1:{image.environment['HAMMINGWAY_PORT']}") as client:
            wait_until_ready(client)
            yield client
        process.terminate()
        process.wait(30)


def test_torch_cannot_be_imported_and_every_version_is_pinned(image: Image) -> None:
    for name in ("torch", "onnx", "sklearn", "wordllama"):
        trying = image.run(["python", "-c", f"import {name}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert f"No module named '{name}'" in trying.communicate()[1]
    listing = image.run(["python", "-m", "pip", "list", "--format", "json"], stdout=subprocess.PIPE)
    installed = {package["name"].lower(): package["version"] for package in json.loads(listing.communicate()[0])}
    pinned = dict(
        line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    same = {re.sub("[-_.]+", "-", name): version for name, version in pinned.items()}
    # pip and setuptools come with the base image's Python.
    unpinned = {name for name, version in installed.items() if same.get(re.sub("[-_.]+", "-", name)) != version}
    assert unpinned - {"pip", "setuptools"} == {"hammingway"}


def test_it_encodes_indexes_and_searches_without_torch(container: httpx.Client) -> None:
    assert container.put("/v1/collections/digits", json={"hasher": "digits"}).json()["hasher"] == "digits@1"
    items = [
        {"id": item.id, "image": in_json(item.document), "payload": item.payload}
        for item, _ in zip(open_dataset("digits").walk(), range(200), strict=False)
    ]
    assert container.post("/v1/collections/digits/index", json={"items": items}).json()["indexed"] == 200
    query = {"query": {"image": items[7]["image"]}, "limit": 1}
    (match,) = container.post("/v1/collections/digits/search", json=query).json()["results"]
    assert (match["id"], match["distance"]) == ("digit-0007", 0)
    encoded = container.post("/v1/encode", json={"hasher": "pydocs", "inputs": [{"text": "sort a list"}]}).json()
    assert len(encoded["codes"][0]) == encoded["bits"] // 4 == 16


def test_healthcheck_passes_when_ready_and_fails_without_the_service(image: Image, container: httpx.Client) -> None:
    command = _one("HEALTHCHECK").command()
    assert image.run(command).wait(30) == 0
    elsewhere = image.environment | {"HAMMINGWAY_PORT": str(free_port())}
    assert Image(image.root, elsewhere).run(command).wait(30) == 1


def test_dockerfile_passes_hadolint() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_last_stage_is_not_root_and_settings_are_real() -> None:
    assert int(_one("USER").text) > 0
    assert json.loads(_one("VOLUME").text) == ["/data", "/hashers"]
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    service = composed["services"]["hammingway"]
    given = [*(pair.split("=")[0] for pair in shlex.split(_one("ENV").text)), *service["environment"]]
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert {name for name in given if name.startswith(PREFIX)} <= known
    mounted = [volume.split(":")[1] for volume in service["volumes"]]
    assert mounted == ["/data", "/hashers"]


def test_all_that_is_copied_is_let_through_to_the_build() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [word for step in _steps() if (step.stage, step.instruction) == (0, "COPY") for word in step.text.split()]
    assert set(copied) - {"./"} == allowed

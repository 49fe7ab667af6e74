"""The README is true: all that a user can call, set or send is in it, and its examples give what it says."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.settings import PREFIX, Settings
from tests.serving import Process

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```sh\n(.*?)```\n```json\n(.*?)```", README, re.DOTALL)


def test_every_command_is_in_it() -> None:
    modules = [path for path in (ROOT / "scripts").glob("*.py") if 'if __name__ == "__main__"' in path.read_text()]
    assert len(modules) >= 5
    for path in modules:
        assert f"`python -m scripts.{path.stem}" in README
    for path in ("scripts/quickstart", "scripts/test", "python -m service"):
        assert path in README


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_it_with_its_default_and_meaning(name: str) -> None:
    field = Settings.model_fields[name]
    default = "the number of cores" if name == "threads" else f"`{field.default}`"
    option = "--" + name.replace("_", "-")
    assert f"| `{option}` | `{PREFIX}{name.upper()}` | {default} | {field.description} |" in README


def test_every_endpoint_is_in_it_and_none_that_is_not_there() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    there = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    written = set(re.findall(r"`((?:GET|PUT|PATCH|POST|DELETE) /(?:v1|livez|readyz|metrics|version)[^`]*)`", README))
    assert written == there


def test_every_path_in_it_is_there() -> None:
    paths = re.findall(r"^((?:models|service|scripts|docs)/[\w/.]*)", README, re.MULTILINE)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists(), path


def test_examples_give_what_it_says(hashers: Path, tmp_path: Path) -> None:
    serving = Process(hashers, tmp_path / "data")
    assert len(EXAMPLES) == README.count("```sh\n") >= 8
    for command, expected in EXAMPLES:
        command = command.replace("http://127.0.0.1:8000", serving.url)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
        given, said = json.loads(done.stdout), json.loads(expected)
        if "request_id" in said:
            assert len(given.pop("request_id")) == len(said.pop("request_id"))
        assert given == said
    serving.stop()


def test_the_pages_for_people_and_programs_need_nothing_from_elsewhere(hashers: Path, tmp_path: Path) -> None:
    serving = Process(hashers, tmp_path / "data")
    page = serving.client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"|url: \'([^\']+)\'', page)
    assert sources
    for source in (first or second for first, second in sources):
        assert httpx.URL(source).is_relative_url
        assert serving.client.get(source).is_success
    serving.stop()

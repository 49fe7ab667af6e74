"""The reference leaves nothing out, and tells of nothing that is not there.

Settings, endpoints, fields, errors, commands and their options, variables, metrics, calls of the clients.
"""

import argparse
import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

import service.app  # noqa: F401  # so that every error there is has been defined
from models.errors import HammingwayError
from service.client import Client
from service.settings import PREFIX, Settings
from tests.docs.contract import document
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
HTTP, SETTINGS, COMMANDS, METRICS, PYTHON = (
    (REFERENCE / f"{name}.md").read_text() for name in ("http", "settings", "commands", "metrics-and-logs", "python")
)
# Of the client, and of a client that has gone away.
NOT_REPLIED = {"Service error", "Abandoned"}
# Members of a problem detail that RFC 9457 defines.
STANDARD = {"type", "title", "status", "detail"}


def test_every_endpoint_is_there_and_none_that_is_not() -> None:
    paths = document()["paths"]
    there = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    written = set(re.findall(r"^\| .*?(?= \| )", HTTP, re.MULTILINE))
    listed = {each for row in written for each in re.findall(r"`((?:GET|PUT|PATCH|POST|DELETE) /[^`]*)`", row)}
    assert listed == there, "docs/reference/http.md has the table of endpoints: `METHOD /path`, what it does"


def _fields() -> list[tuple[str, str]]:
    schemas = document()["components"]["schemas"]
    return [(name, field) for name, schema in schemas.items() for field in schema.get("properties", {})]


def test_every_field_of_every_request_and_reply_is_there() -> None:
    fields = _fields()
    assert len(fields) > 60
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`", HTTP) + re.findall(r'"\w+":', HTTP))))
    missing = [f"{name}.{field}" for name, field in fields if field not in words | STANDARD]
    assert missing == [], "docs/reference/http.md tells of each field in `backticks` or in an example"


def test_every_error_is_there_with_its_status_and_none_that_is_not() -> None:
    written = set(re.findall(r"^\| (\d{3}) \| ([^|]+) \|", HTTP, re.MULTILINE))
    there = {(str(error.status), error.title) for error in _errors(HammingwayError) if error.title not in NOT_REPLIED}
    # Raised where they have no class: in the handler of mistakes, and for items of a request.
    assert there | {("500", "Internal error"), ("422", "Duplicate id")} == written


def _errors(kind: type[HammingwayError]) -> list[type[HammingwayError]]:
    """Of the models and the service; commands, which other tests may have imported, have their own."""
    return [
        each
        for child in kind.__subclasses__()
        if not child.__module__.startswith(("scripts", "tests"))
        for each in (child, *_errors(child))
    ]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_there_with_its_default_and_meaning(name: str) -> None:
    field = Settings.model_fields[name]
    default = "the number of cores" if name == "threads" else f"`{field.default}`"
    option = "--" + name.replace("_", "-")
    row = f"| `{option}` | `{PREFIX}{name.upper()}` | {default} | {field.description} |"
    assert row in SETTINGS, f"expected in docs/reference/settings.md: {row}"


def test_no_setting_is_there_that_is_not() -> None:
    written = set(re.findall(r"^\| `--([\w-]+)`", SETTINGS, re.MULTILINE))
    assert written == {name.replace("_", "-") for name in Settings.model_fields}


def _modules() -> list[str]:
    """Every module that may be run: `scripts.train`, `scripts.benchmark`, `service`."""
    found = []
    for folder in ("scripts", "service", "models"):
        for path in (ROOT / folder).rglob("*.py"):
            if any(isinstance(node, ast.If) and _is_main(node.test) for node in ast.parse(path.read_text()).body):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found.append(".".join(parts[:-1] if parts[-1] == "__main__" else parts))
    # Started by path, by a command.
    return sorted(set(found) - {"scripts.datasets.docstrings", "scripts.benchmark.driver", "scripts.milvus.keeper"})


def _is_main(test: ast.expr) -> bool:
    return ast.unparse(test) == "__name__ == '__main__'"


def test_every_command_is_there() -> None:
    modules = _modules()
    assert {"service", "service.process.healthcheck", "scripts.train", "scripts.benchmark"} <= set(modules)
    for module in modules:
        assert f"`python -m {module}" in COMMANDS, f"docs/reference/commands.md has nothing of python -m {module}"
    scripts = {path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix}
    for script in scripts:
        assert f"`scripts/{script}" in COMMANDS


@pytest.mark.parametrize("module", [name for name in _modules() if name.startswith("scripts.")])
def test_every_option_is_there_and_none_that_is_not(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    section = re.search(rf"^## {module.rpartition('.')[2]}$(.*?)(?=^## |\Z)", COMMANDS, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/reference/commands.md has no section of {module}"
    rows = re.findall(r"^\| (`--.*?) \|", section[1], re.MULTILINE)
    written = {option for row in rows for option in re.findall(r"`(--[\w-]+)`", row)}
    assert written == _options(module, monkeypatch), f"docs/reference/commands.md, {module}"


class _ParsedError(Exception):
    """Carries the parser of a command that was about to parse its arguments."""


def _options(module: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    def stop(parser: argparse.ArgumentParser, *arguments: object, **options: object) -> None:
        raise _ParsedError(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [module])
    found = importlib.import_module(f"{module}.__main__" if (ROOT / module.replace(".", "/")).is_dir() else module)
    with pytest.raises(_ParsedError) as raised:
        found.main()
    return _of_parser(raised.value.args[0]) - {"--help"}


def _of_parser(parser: argparse.ArgumentParser) -> set[str]:
    found = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {option for child in action.choices.values() for option in _of_parser(child)}
    return found


def test_every_metric_is_there_and_none_that_is_not() -> None:
    written = set(re.findall(r"^\| `(hammingway_\w+)`", METRICS, re.MULTILINE))
    source = "\n".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    found = set(re.findall(r'"(hammingway_\w+)"', source))
    # A counter is given its suffix when it is told.
    there = {"hammingway_requests_total" if name == "hammingway_requests" else name for name in found}
    assert written == there


def test_every_call_of_the_clients_is_there() -> None:
    table = "\n".join(line for line in PYTHON.splitlines() if line.startswith("| `"))
    calls = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert {name for name in calls if f"`{name}(" not in table} == set()


def test_every_variable_that_is_read_is_there() -> None:
    pages = "\n".join(path.read_text() for path in REFERENCE.glob("*.md"))
    read = set()
    for folder in ("scripts", "service", "models"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ""):
                read |= set(re.findall(r"\bHAMMINGWAY_[A-Z_]+[A-Z]\b", path.read_text()))
    # As the docstrings speak of any of them.
    assert {name for name in read if f"`{name}" not in pages} - {"HAMMINGWAY_NAME"} == set()


def test_pages_are_listed_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "decisions"]
    for page in pages:
        where = page.relative_to(ROOT / "docs").as_posix()
        assert where == "README.md" or f"]({where})" in index, where


def test_its_own_root_is_the_repository() -> None:
    assert (ROOT / "pyproject.toml").is_file() and REFERENCE.is_dir() and isinstance(ROOT, Path)

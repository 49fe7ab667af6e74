"""The README leads to what is there. Its examples are run in tests/docs, where the reference is held to be complete."""

import re
from pathlib import Path

import httpx

from tests.serving import Process

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_every_path_in_it_is_there() -> None:
    paths = re.findall(r"^ *((?:models|service|scripts|docs|tests)/[\w/.]*)", README, re.MULTILINE)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists(), path


def test_it_leads_to_every_page() -> None:
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "decisions"]
    there = {page.relative_to(ROOT).as_posix() for page in pages} - {"docs/README.md"}
    assert len(there) > 10
    assert {page for page in there if f"]({page})" not in README} == set()


def test_the_pages_for_people_and_programs_need_nothing_from_elsewhere(hashers: Path, tmp_path: Path) -> None:
    serving = Process(hashers, tmp_path / "data")
    page = serving.client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"|url: \'([^\']+)\'', page)
    assert sources
    for source in (first or second for first, second in sources):
        assert httpx.URL(source).is_relative_url
        assert serving.client.get(source).is_success
    serving.stop()

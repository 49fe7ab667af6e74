"""Every page is true: its commands run, requests are answered as it says, and all JSON is as the API document has it.

A block that is not run here says so in the page, with the test that checks it otherwise; they are counted below, so
that none is passed over quietly.
"""

from pathlib import Path

import pytest

from tests.docs.blocks import PRINTED, blocks
from tests.docs.contract import Checked, check
from tests.docs.pages import PAGES, ROOT, name, run_page

# Pages that go on from the quickstart, with the hashers that it trains.
AFTER_QUICKSTART = {
    "README.md",
    "docs/how-to/deduplicate.md",
    "docs/reference/commands.md",
    "docs/reference/files.md",
    "docs/reference/http.md",
    "docs/scale.md",
}
# How many blocks of commands a page has that are not run as they stand.
NOT_RUN = {
    "README.md": 3,
    "docs/tutorial.md": 1,
    "docs/how-to/docker-behind-a-proxy.md": 3,
    "docs/how-to/pretrained-encoders.md": 3,
    "docs/quality.md": 1,
    "docs/reference/milvus.md": 1,
    "docs/scale.md": 6,
}
LANGUAGES = {"bash", "python", *PRINTED, "caddyfile", "mermaid", "nginx", "toml", "yaml"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_it_runs_as_it_says(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    hashers = request.getfixturevalue("hashers") if name(page) in AFTER_QUICKSTART else None
    folder = tmp_path / "folder"
    folder.mkdir()
    ran = run_page(page, folder, hashers)
    given = blocks(page)
    assert ran.run == sum(block.runs for block in given)
    assert ran.compared == sum(block.printed for block in given)
    checked = sum((check(exchange) for exchange in ran.exchanges), Checked())
    if any("curl " in block.content for block in given if block.runs):
        assert checked.requests or checked.replies


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_not_run_says_why_and_is_counted(page: Path) -> None:
    left_out = [block for block in blocks(page) if "not run" in block.remarks]
    for block in left_out:
        why, _, test = block.remarks["not run"].rpartition("; ")
        assert why and (ROOT / test).is_file(), f"{name(page)}, line {block.line}"
    assert len(left_out) == NOT_RUN.get(name(page), 0)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_has_a_language_that_is_known(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{name(page)}, line {block.line}: {block.language or 'none'}"

"""Every link of every page leads somewhere: to a file that is there, and to a heading of it."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name

ALL = sorted({*PAGES, *(ROOT / "docs" / "decisions").glob("*.md"), ROOT / "CHANGELOG.md"})
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(text: str) -> list[str]:
    """The targets of a page's links, but for those in code."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "`code`", _CODE.sub("", text)))


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.*)$", _CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL, ids=name)
def test_it_leads_somewhere(page: Path) -> None:
    for link in links(page.read_text()):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), f"{name(page)}: {link}"
        assert not anchor or anchor in anchors(target.read_text()), f"{name(page)}: {link}"


def test_links_and_anchors_are_found() -> None:
    assert links("see [a](b.md#c), `[no](link)` and\n```\n[no](link)\n```\n[d](#e)") == ["b.md#c", "#e"]
    assert anchors("# A hasher's folder\n```\n# no\n```\n## IVF\n") == {"a-hashers-folder", "ivf"}

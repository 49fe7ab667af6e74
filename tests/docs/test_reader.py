"""The reader of pages notices what is wrong with them: a page that is never found wrong proves nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.blocks import blocks
from tests.docs.comparing import agrees, pattern
from tests.docs.contract import check, errors, find
from tests.docs.pages import ROOT, Ran, run_page
from tests.docs.recorder import Exchange

Run = Callable[[str], Ran]


def _page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    return lambda text: run_page(_page(tmp_path, text), folder)


def test_blocks_go_on_from_one_another_in_one_shell_and_one_folder(run: Run) -> None:
    ran = run(
        "```bash\nx=1\nmkdir a\ncd a\n```\n```bash\necho $x $(basename $PWD)\n```\n```text\n1 a\n```\n"
        "```python\nprint({'b': [1]})\n```\n"
    )
    assert (ran.run, ran.compared) == (3, 1)


def test_a_file_is_written_before_what_follows(run: Run) -> None:
    ran = run("<!-- file: a/b.txt -->\n```text\nhello\n```\n```bash\ncat a/b.txt\n```\n```text\nhel...\n```\n")
    assert (ran.run, ran.compared) == (1, 1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("```bash\nfalse\necho on\n```\n", "a command failed"),
        ("```bash\nfalse | true\n```\n", "a command failed"),
        ("```python\nraise SystemExit(3)\n```\n", "a command failed"),
        ("```bash\necho a\n```\n```text\nb\n```\n", "expected\nb\n"),
        ("```bash\necho a; echo b\n```\n```text\na\n```\n", "expected\na\n"),
        ('```bash\necho \'{"a": 1}\'\n```\n```json\n{"a": 2}\n```\n', "expected"),
        ('```bash\necho \'{"a": 1}\'\n```\n<!-- varies: a -->\n```json\n{"a": "x"}\n```\n', "expected"),
        ("```text\na\n```\n", "expected something to be run before"),
        ("<!-- file: ../a -->\n```text\na\n```\n", "own folder"),
        ("<!-- skip -->\n```bash\ntrue\n```\n", "expected a remark that is known"),
        ("<!-- not run: why; test -->\ntext\n", "expected a block after"),
        ("```bash\ntrue\n", "expected every block to end"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(run: Run, text: str, message: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=r"page\.md") as raised:
        run(text)
    assert message in str(raised.value)


def test_what_a_block_started_is_gone_with_its_page(run: Run, tmp_path: Path) -> None:
    run("```bash\nsleep 600 &\necho $! >pid\n```\n")
    there = Path("/proc", (tmp_path / "folder" / "pid").read_text().strip(), "stat")
    # What nobody waits for stays as a name.
    assert not there.exists() or there.read_text().rpartition(")")[2].split()[0] == "Z"


def test_text_may_leave_out_parts_of_lines_and_lines() -> None:
    said = pattern("a ... c\n...\nend\n")
    for printed in ("a b c\nend\n", "a  c\nx\ny\nend\n"):
        assert said.fullmatch(printed)
    for printed in ("a b\nend\n", "a b c\nend\nmore\n", "a b c\n"):
        assert not said.fullmatch(printed)
    assert not pattern("a.c\n").fullmatch("abc\n")


def test_json_agrees_by_value_and_where_it_varies_by_type() -> None:
    assert agrees({"a": [1, "x"], "b": 5}, {"b": 7.5, "a": [1, "x"]}, frozenset({"b"}))
    for came in ({"a": 1}, {"a": True}, {"a": 1.0}, {"a": [1]}, {"a": 2, "b": 1}):
        assert agrees({"a": 1}, came) == (came == {"a": 1} and type(came["a"]) is int)


def _exchange(path: str, sent: bytes, came: bytes, status: int = 200, came_type: str = "application/json") -> Exchange:
    return Exchange("POST", path, sent, {"content-type": "application/json"}, status, came, came_type)


def test_bodies_that_the_api_document_has_otherwise_are_noticed() -> None:
    found = b'{"results": [{"id": "a", "distance": 1, "similarity": 0.9}], "hasher": null}'
    path = "/v1/collections/shoes/search"
    good = check(_exchange(path, b'{"query": {"code": "00ff"}}', found))
    assert (good.requests, good.replies) == (1, 1)
    for sent, came, status in (
        (b'{"query": {"code": 1}}', found, 200),
        (b'{"query": {"code": "00ff"}, "limt": 3}', found, 200),
        (b'{"query": {"code": "00ff"}}', b'{"results": [{"id": "a"}], "hasher": null}', 200),
        (b'{"query": {"code": "00ff"}}', b'{"detail": "no"}', 422),
    ):
        with pytest.raises(AssertionError):
            check(_exchange(path, sent, came, status))
    with pytest.raises(AssertionError):
        check(_exchange("/v1/collections/shoes/serch", b"{}", found))


def test_paths_lead_to_their_operations() -> None:
    assert find("GET", "/v1/collections/a/items/5/b.png")["summary"] == "Get an item"  # type: ignore[index]
    assert find("GET", "/v1/collections/a/items")["summary"] == "List items"  # type: ignore[index]
    assert find("POST", "/v1/collections/a") is None
    assert errors({"$ref": "#/components/schemas/Problem"}, {"title": 1})


def test_every_page_has_something_to_check() -> None:
    assert sum(block.printed for block in blocks(ROOT / "docs" / "reference" / "http.md")) >= 15

"""A page, run as somebody who reads it would: every command in order, every reply compared with what the page says."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import Block, blocks
from tests.docs.comparing import compare
from tests.docs.recorder import Exchange, recording
from tests.docs.terminal import Terminal, reader_environment
from tests.serving import free_port

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "decisions")]
ADDRESS = "127.0.0.1:8000"


@dataclass
class Ran:
    """What came of a page: how many blocks were run and compared, and what was asked of the service."""

    run: int = 0
    compared: int = 0
    exchanges: list[Exchange] = field(default_factory=list)


def name(page: Path) -> str:
    """As pages are spoken of: `docs/tutorial.md`."""
    return page.relative_to(ROOT).as_posix()


def run_page(page: Path, folder: Path, hashers: Path | None = None) -> Ran:
    """Run a page in a new folder; `hashers` are put into its `var/hashers`, as the quickstart would have.

    Raises AssertionError at the first block that fails, or prints something else than the page says.
    """
    given = blocks(page)
    _prepare(folder, hashers)
    ran, printed, last = Ran(), "", None
    port = free_port()
    with recording(port) as (recorder, own):
        address = f"127.0.0.1:{own}"
        environment = reader_environment(folder, port, f"http://{address}")
        with closing(Terminal(folder, environment)) as terminal:
            for block in given:
                try:
                    if file := block.remarks.get("file"):
                        _write(folder, file, block)
                    elif block.runs:
                        run = terminal.bash if block.language == "bash" else terminal.python
                        printed = run(block.content.replace(ADDRESS, address)).replace(address, ADDRESS)
                        ran.run, last = ran.run + 1, block
                    elif block.printed:
                        assert last is not None, f"line {block.line}: expected something to be run before"
                        compare(block, printed)
                        ran.compared += 1
                except Exception as error:
                    raise AssertionError(f"{name(page)}, line {block.line}: {error}") from error
        ran.exchanges = recorder.exchanges
    return ran


def _prepare(folder: Path, hashers: Path | None) -> None:
    (folder / "var" / "hashers").mkdir(parents=True)
    for hasher in ("digits@1", "pydocs@1") if hashers is not None else ():
        (folder / "var" / "hashers" / hasher).symlink_to(hashers / hasher)


def _write(folder: Path, file: str, block: Block) -> None:
    path = (folder / file).resolve()
    assert path.is_relative_to(folder.resolve()), f"expected a file in the page's own folder, got {file}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.content)

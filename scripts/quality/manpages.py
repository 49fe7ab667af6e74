"""The manual pages of Debian's `manpages-dev` as plain texts, one for each section: the long texts of the benchmark."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import InvalidInputError

DEBIAN_FOLDER = Path("/usr/share/man")
CHAPTERS = ("man2", "man3")
# Other packages put pages into the same folders; the title line of these names the project.
PROJECT = "Linux man-pages"
FEWEST_WORDS = 50

ALTERNATING = {"BI", "BR", "IB", "IR", "RB", "RI"}
SPACED = {"B", "I", "SM", "SB", "SS"}
ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')
ESCAPES = (
    (re.compile(r'\\".*'), ""),
    (re.compile(r"\\f(?:\[[^]]*\]|\(..|.)"), ""),
    (re.compile(r"\\s[-+]?\d+"), ""),
    (re.compile(r"\\\((?:aq|cq|oq)"), "'"),
    (re.compile(r"\\\((?:dq|lq|rq)"), '"'),
    (re.compile(r"\\\((?:em|en|mi)|\\-"), "-"),
    (re.compile(r"\\\((?:ha|ti)"), "~"),
    (re.compile(r"\\\[[^]]*\]|\\\(..|\\\*\(..|\\\*\[[^]]*\]"), " "),
    (re.compile(r"\\[&|^%c:]"), ""),
    (re.compile(r"\\e"), "\\\\"),
    (re.compile(r"\\[ ~0]"), " "),
    (re.compile(r"\\(.)"), r"\1"),
)


@dataclass(frozen=True)
class Section:
    """One section of one page: `open.2#DESCRIPTION`, and its text on one line."""

    id: str
    text: str


def load(folder: Path = DEBIAN_FOLDER) -> list[Section]:
    """All sections of 50 words or more, in the order of the pages' names."""
    # A link is another name of a page that is there already.
    paths = sorted(path for chapter in CHAPTERS for path in (folder / chapter).glob("*.[23]*") if not path.is_symlink())
    found = [section for path in paths for section in _sections(path)]
    if not found:
        raise InvalidInputError(
            f"expected pages of {PROJECT} in {folder}/man2 and man3, found none; on Debian: apt install manpages-dev"
        )
    return found


def _sections(path: Path) -> Iterator[Section]:
    content = path.read_bytes()
    page = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8", "replace")
    title = re.search(r"^\.TH .*", page, re.MULTILINE)
    if title is None or PROJECT not in title[0]:
        return
    for heading, text in plain_sections(page):
        if len(text.split()) >= FEWEST_WORDS:
            yield Section(f"{path.name.removesuffix('.gz')}#{heading}", text)


def plain_sections(page: str) -> list[tuple[str, str]]:
    """Heading and text of each section of a page in the `man` macros, without fonts and layout."""
    sections: list[tuple[str, list[str]]] = []
    for line in page.splitlines():
        if line.startswith((".SH", "'SH")):
            sections.append((_plain(" ".join(_arguments(line[3:]))), []))
        elif sections and (text := _text(line)):
            sections[-1][1].append(text)
    return [(heading, " ".join(" ".join(lines).split())) for heading, lines in sections]


def _text(line: str) -> str:
    if not line.startswith((".", "'")):
        return _plain(line)
    name, _, rest = line[1:].lstrip().partition(" ")
    if name in ALTERNATING:
        return _plain("".join(_arguments(rest)))
    if name in SPACED:
        return _plain(" ".join(_arguments(rest)))
    if name == "IP":
        return _plain(next(iter(_arguments(rest)), ""))
    return ""


def _arguments(rest: str) -> list[str]:
    return [quoted or bare for quoted, bare in ARGUMENT.findall(rest)]


def _plain(text: str) -> str:
    for escape, meaning in ESCAPES:
        text = escape.sub(meaning, text)
    return text

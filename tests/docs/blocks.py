"""The fenced blocks of a Markdown page, each with the remarks that stand before it as HTML comments.

What a block is for, by its language:

* `bash` and `python` are run, in order, in one folder that was empty; a `bash` block in the one shell of the page;
* `text`, `json` and `ndjson` are what the last of them printed, all of it;
* any other language, and a block with the remark `not run: WHY`, is only shown.

A remark is `<!-- varies: id, bytes -->` (members of JSON that are compared by type alone), `<!-- file: NAME -->` (the
block is the content of a file, written before the next block is run), `<!-- not run: WHY; TEST -->` (TEST is the path
of the test that checks it otherwise).
"""

import re
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "python")
PRINTED = ("text", "json", "ndjson")
_FENCE = re.compile(r"^(`{3,})(\w*)\s*$")
_REMARK = re.compile(r"^<!-- (varies|file|not run): (.*) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block: `line` is that of its first line of content, counted from 1."""

    language: str
    content: str
    line: int
    remarks: dict[str, str]

    @property
    def runs(self) -> bool:
        """Whether it is run."""
        return self.language in RUN and not self.remarks.keys() & {"not run", "file"}

    @property
    def printed(self) -> bool:
        """Whether it is what the block before it prints."""
        return self.language in PRINTED and not self.remarks.keys() & {"not run", "file"}

    @property
    def varies(self) -> frozenset[str]:
        """Members of its JSON that are compared by type alone."""
        return frozenset(name.strip() for name in self.remarks.get("varies", "").split(",") if name.strip())


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order; raises ValueError for a remark or a fence that stands alone."""
    found: list[Block] = []
    remarks: dict[str, str] = {}
    fence, language, start, content = "", "", 0, list[str]()
    for number, line in enumerate(page.read_text().splitlines(), 1):
        opening = _FENCE.match(line)
        if fence:
            if line.strip() == fence:
                found.append(Block(language, "\n".join(content) + "\n", start, remarks))
                fence, remarks = "", {}
            else:
                content.append(line)
        elif opening:
            fence, language, start, content = opening[1], opening[2], number + 1, []
        elif remark := _REMARK.match(line):
            remarks = {**remarks, remark[1]: remark[2]}
        elif line.startswith("<!--"):
            raise ValueError(f"{page}:{number}: expected a remark that is known, got {line}")
        elif line.strip() and remarks:
            raise ValueError(f"{page}:{number}: expected a block after {remarks}, got text")
    if fence or remarks:
        raise ValueError(f"{page}: expected every block to end and every remark to have one")
    return found

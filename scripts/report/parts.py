"""What the page is put together from: sections of charts, tables and words."""

from dataclasses import dataclass

SHOWN_CHARACTERS = 220


@dataclass(frozen=True)
class Picture:
    """A PNG with a caption. `wide` ones have a line to themselves; `chart` ones may be recoloured for dark screens."""

    file: str
    title: str
    caption: str
    png: bytes
    wide: bool = False
    chart: bool = True


@dataclass(frozen=True)
class Table:
    """Cells of text under headings, with a caption; `marked` rows stand out."""

    title: str
    caption: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    marked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Section:
    """A headline, an introduction in plain words, and what there is to see."""

    name: str
    title: str
    words: str
    parts: list[Picture | Table]


def plain(text: str | None, most: int = SHOWN_CHARACTERS) -> str:
    """Text on one line that any font and encoding can take, at most `most` characters; nothing for None."""
    if text is None:
        return ""
    words = " ".join(text[: 4 * most].encode("utf-8", "replace").decode().split())
    shown = "".join(character if character.isprintable() else "?" for character in words)
    return shown if len(shown) <= most and len(text) <= 4 * most else shown[: most - 1] + "…"

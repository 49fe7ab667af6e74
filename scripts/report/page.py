"""The page: HTML that refers to nothing outside itself, in light and dark, on any width."""

import base64
from html import escape
from string import Template

from scripts.report.folder import MARK
from scripts.report.parts import Picture, Section, Table
from scripts.report.style import STYLE
from scripts.report.summary import Head

# Cells with more characters may be broken into lines.
LONG = 24

# The policy makes the browser hold to it: no script, nothing fetched, whatever an item's text may say.
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
$mark
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title: training report</title>
<style>$style</style>
</head>
<body>
<header>
<p class="kind">Training report</p>
<h1>$title</h1>
<dl class="facts">$facts</dl>
<details><summary>Every option of this training</summary><dl class="options">$options</dl></details>
<nav>$links</nav>
</header>
<main>
$sections
</main>
</body>
</html>
""")


def build_page(head: Head, sections: list[Section]) -> str:
    """The whole page; all words are escaped here, and only here."""
    return PAGE.substitute(
        mark=MARK,
        title=escape(head.title),
        style=STYLE,
        facts=_pairs(head.facts),
        options=_pairs(head.options),
        links=" ".join(f'<a href="#{escape(s.name)}">{escape(s.title)}</a>' for s in sections),
        sections="\n".join(_section(section) for section in sections),
    )


def _pairs(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs)


def _section(section: Section) -> str:
    parts = "\n".join(_picture(part) if isinstance(part, Picture) else _table(part) for part in section.parts)
    return (
        f'<section id="{escape(section.name)}">\n<h2>{escape(section.title)}</h2>\n<p>{escape(section.words)}</p>\n'
        f'<div class="parts">\n{parts}\n</div>\n</section>'
    )


def _picture(picture: Picture) -> str:
    content = base64.b64encode(picture.png).decode()
    kinds = " ".join(name for name, has in (("wide", picture.wide), ("chart", picture.chart)) if has)
    return (
        f'<figure class="{kinds}"><h3>{escape(picture.title)}</h3><div class="scroll">'
        f'<img data-file="{escape(picture.file)}" alt="{escape(picture.title)}" src="data:image/png;base64,{content}">'
        f"</div><figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    headings = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in table.headings)
    rows = "\n".join(_row(row, number in table.marked) for number, row in enumerate(table.rows))
    return (
        f'<figure class="wide"><h3>{escape(table.title)}</h3><div class="scroll"><table>'
        f"<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
        f"</table></div><figcaption>{escape(table.caption)}</figcaption></figure>"
    )


def _row(cells: tuple[str, ...], marked: bool) -> str:
    kind = ' class="marked"' if marked else ""
    written = (f'<td class="long">{escape(c)}</td>' if len(c) > LONG else f"<td>{escape(c)}</td>" for c in cells)
    return f"<tr{kind}>{''.join(written)}</tr>"

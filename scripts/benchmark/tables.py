"""What was measured, as tables on the console: a line a figure, a column a case, and what was aimed at."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.benchmark.figures import Figure, Figures, Rival

WIDTH = 150
TITLES = {
    "search": "exact search without HTTP: one query, k = 10",
    "http": "exact search over HTTP: one query a request, k = 10",
    "ivf": "approximate search over HTTP, k = 10",
    "writes": "durable writes over HTTP",
    "start": "starting, and memory",
    "deletes": "deleting over HTTP, one item at a time",
    "lag": "the event loop during a bulk import",
    "stores": "stores behind the same service, k = 10: exact but for IVF",
    "duplicates": "All near-duplicates over HTTP, one item in a hundred being a copy with up to 8 bits flipped",
}


def print_part(part: str, figures: Figures) -> None:
    """The table of one part, empty parts left out."""
    own = [figure for figure in figures.figures if figure.part == part]
    if not own:
        return
    cases = list(dict.fromkeys(figure.case for figure in own))
    values = {(figure.name, figure.case): figure for figure in own}
    table = Table(TITLES[part], title=part, title_justify="left")
    for case in cases:
        table.add_column(str(case), justify="right")
    table.add_column("target", justify="right")
    for name in dict.fromkeys(figure.name for figure in own):
        line = [values.get((name, case)) for case in cases]
        target = next((str(figure.target) for figure in line if figure and figure.target), "")
        table.add_row(name, *(_cell(figure) for figure in line), target)
    Console(width=WIDTH).print(table)


def print_rivals(rivals: list[Rival], title: str) -> None:
    """One line a library."""
    table = Table("", "threads", title=title, title_justify="left")
    for heading in ("build, s", "search, ms", "recall@10", "disk, MB", "memory, MB"):
        table.add_column(heading, justify="right")
    for rival in rivals:
        if rival.note:
            table.add_row(rival.name, rival.threads, rival.note)
            continue
        values = (rival.build_seconds, rival.search_ms, rival.recall, rival.disk_mb, rival.memory_mb)
        table.add_row(rival.name, rival.threads, *("-" if value is None else shown(value) for value in values))
    Console(width=WIDTH).print(table)


def print_summary(figures: Figures) -> None:
    """How many targets were met, and by how much the others were missed; nothing where none was set."""
    aimed = [figure for figure in figures.figures if figure.target is not None]
    missed = [figure for figure in aimed if not figure.met]
    if not aimed:
        return
    console = Console(width=WIDTH, highlight=False)
    console.print(f"{len(aimed) - len(missed)} of {len(aimed)} targets met")
    for figure in missed:
        console.print(f"missed: {figure.part}, {figure.case}: {figure.name} {shown(figure.value)}, {figure.target}")


def shown(value: float) -> str:
    """A number with three or four digits that count."""
    if value >= 1000 or (value > 1 and value == int(value)):
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _cell(figure: Figure | None) -> Text:
    if figure is None:
        return Text("-")
    if figure.met is None:
        return Text(shown(figure.value))
    return Text(f"{shown(figure.value)} {'met' if figure.met else 'missed'}", style="green" if figure.met else "red")

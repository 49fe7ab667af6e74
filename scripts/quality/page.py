"""Figures into a page: what stands below a heading that names a part is written anew, all other words are kept."""

import re
from collections.abc import Iterator

from models.errors import InvalidInputError
from scripts.quality.results import Results
from scripts.quality.sheets import losses, losses_sheet, sheets, verdict

VERDICT, LOSSES = "verdict", "losses"
HEADING = re.compile(r"^(#+) `?([\w/-]+)`?$")


def fill(page: str, results: Results, parts: list[str]) -> str:
    """The page with the figures of parts below the headings of their names, and of `verdict` and `losses`."""
    measured = [part for part in parts if results.medians(part)]
    bodies = {part: body(part, results) for part in measured}
    bodies[VERDICT] = "\n".join(f"* {sentence}" for sentence in verdict(results, measured))
    found = losses(results, measured)
    bodies[LOSSES] = losses_sheet(found).markdown() if found else "In no figure by more than 0.005."
    lines = list(_filled(page.splitlines(), bodies))
    if bodies:
        raise InvalidInputError(f"expected a heading for each of {', '.join(bodies)} in the page, found none")
    return "\n".join(lines) + "\n"


def body(part: str, results: Results) -> str:
    """The tables of one part, and the command that makes them again."""
    tables = "\n\n".join(
        f"{sheet.title[:1].upper()}{sheet.title[1:]}:\n\n{sheet.markdown()}" for sheet in sheets(part, results)
    )
    medians = results.medians(part)
    seeds = sorted({each.seeds for each in medians})
    of = f"{seeds[0]} seed{'s' * (seeds[0] > 1)}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    commits = ", ".join(commit for commit in results.commits(part) if commit) or "unknown"
    return (
        f"{tables}\n\n`python -m scripts.evaluate --benchmark jobs --only {part}`: medians of {of}, "
        f"{results.seconds(part) / 60:.0f} minutes, code at {commits}."
    )


def _filled(lines: list[str], bodies: dict[str, str]) -> Iterator[str]:
    """The lines, with bodies in place of what stood below their headings; bodies that were used are taken out."""
    replaced = False
    for line in lines:
        if line.startswith("#"):
            heading = HEADING.match(line)
            replaced = heading is not None and heading[2] in bodies
            yield line
            if heading is not None and replaced:
                yield from ("", *bodies.pop(heading[2]).splitlines(), "")
        elif not replaced:
            yield line

"""Figures into a page: those of a part stand at the end of the section with its name, and are written anew there."""

import re
from collections.abc import Iterator

from models.errors import InvalidInputError
from scripts.quality.results import Results
from scripts.quality.sheets import losses, losses_sheet, sheets, verdict

VERDICT, LOSSES = "verdict", "losses"
COMMAND = "`python -m scripts.evaluate --benchmark jobs"
"""What written figures start with: all from there to the end of their section is written anew."""
HEADING = re.compile(r"^(#+) `?([\w/-]+)`?$")


def fill(page: str, results: Results, parts: list[str]) -> str:
    """The page with the figures of parts below the headings of their names, and of `verdict` and `losses`."""
    measured = [part for part in parts if results.medians(part)]
    bodies = {part: body(part, results) for part in measured}
    told = "\n".join(f"* {sentence}" for sentence in verdict(results, measured))
    bodies[VERDICT] = f"{COMMAND}`, in words:\n\n{told}"
    found = losses(results, measured)
    lost = losses_sheet(found).markdown() if found else "In no figure by more than 0.005."
    bodies[LOSSES] = f"{COMMAND}`, what it lost by more than 0.005:\n\n{lost}"
    lines = list(_filled(page.splitlines(), bodies))[:-1]
    if bodies:
        raise InvalidInputError(f"expected a heading for each of {', '.join(bodies)} in the page, found none")
    return "\n".join(lines).rstrip() + "\n"


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
        f"{COMMAND} --only {part}`: medians of {of}, {results.seconds(part) / 60:.0f} minutes, code at {commits}.\n\n"
        f"{tables}"
    )


def _filled(lines: list[str], bodies: dict[str, str]) -> Iterator[str]:
    """The lines, with bodies at the ends of the sections of their names; bodies that were used are taken out."""
    body = last = ""
    old = False
    for line in [*lines, "#"]:
        if line.startswith("#"):
            if body:
                yield from (body, "") if last == "" else ("", body, "")
            body, old = "", False
            if (heading := HEADING.match(line)) is not None:
                body = bodies.pop(heading[2], "")
        if body and line.startswith(COMMAND):
            old = True
        if not old:
            yield line
            last = line

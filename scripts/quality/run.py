"""`python -m scripts.evaluate --benchmark jobs`: measures part by part, prints tables, fills the page."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from models.errors import InvalidInputError
from scripts.options import positive
from scripts.outputs import check_writable
from scripts.quality import altered, near_copies, similar
from scripts.quality.page import fill
from scripts.quality.plan import SEEDS, SIZES, Plan, quick
from scripts.quality.results import Results, commit
from scripts.quality.sheets import losses, losses_sheet, sheets, verdict

KINDS = {"similar": similar, "near-copies": near_copies, "altered": altered}
PARTS = [f"{kind}/{data}" for kind, module in KINDS.items() for data in module.DATA]
WIDTH = 190


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """The options that `print_jobs` reads, besides those of the benchmark of one data set."""
    parser.add_argument(
        "--only", nargs="+", metavar="PART", help=f"of --benchmark jobs: {', '.join(PARTS)}, or what these start with"
    )
    parser.add_argument("--quick", action="store_true", help="of --benchmark jobs: one seed, small sizes, 64 bits")
    parser.add_argument("--sizes", type=positive, nargs="+", help=f"items of similar (default {_listed(SIZES)})")
    parser.add_argument("--seeds", type=positive, help=f"of --benchmark jobs (default {SEEDS})")
    parser.add_argument("--page", type=Path, metavar="FILE", help="page that --benchmark jobs writes its figures into")
    parser.add_argument("--cache", type=Path, default=Path("var/jobs"), help="where encoders' features are kept")
    parser.add_argument("--encoders", type=Path, default=Path("var/encoders"), help="folder of scripts.encoder add")


def print_jobs(arguments: argparse.Namespace) -> None:
    """Measure what is not in the file of results yet, and print all that is."""
    parts = chosen(arguments.only)
    for path in (arguments.json, arguments.page):
        if path is not None:
            check_writable(path.parent)
    page = None if arguments.page is None else arguments.page.read_text()
    results, console, state = Results.open(arguments.json), Console(width=WIDTH), commit()
    for part in parts:
        started = time.monotonic()
        try:
            for figures in KINDS[part.partition("/")[0]].measure(part, plan_of(arguments, results)):
                took = time.monotonic() - started
                results.add(replace(each, whole_seconds=took, commit=state) for each in figures)
                started = time.monotonic()
        except InvalidInputError as error:
            # The other parts may have what they need.
            console.print(f"{part}: not measured: {error}", markup=False)
        for sheet in sheets(part, results):
            console.print(part, highlight=False)
            console.print(sheet.rich())
    measured = [part for part in parts if results.medians(part)]
    for sentence in verdict(results, measured):
        console.print(sentence, markup=False, highlight=False)
    if found := losses(results, measured):
        console.print(losses_sheet(found).rich())
    if page is not None:
        arguments.page.write_text(fill(page, results, PARTS))


def chosen(only: list[str] | None) -> list[str]:
    """The parts that are meant, each by its name or by how it starts."""
    if only is None:
        return PARTS
    for name in only:
        if not any(part.startswith(name) for part in PARTS):
            raise InvalidInputError(f"expected --only to name a part of {', '.join(PARTS)}, got {name!r}")
    return [part for part in PARTS if part.startswith(tuple(only))]


def plan_of(arguments: argparse.Namespace, results: Results) -> Plan:
    """What the arguments ask for, less what was measured already."""
    plan = Plan(arguments.cache, arguments.encoders)
    if arguments.quick:
        plan = quick(plan)
    given = {"sizes": arguments.sizes, "bits": arguments.bits, "seeds": arguments.seeds}
    return replace(
        plan, **{key: value for key, value in given.items() if value is not None},
        wants=lambda cell: not results.has(cell),
    )  # fmt: skip


def _listed(numbers: list[int]) -> str:
    return " ".join(map(str, numbers))

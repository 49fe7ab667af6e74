"""What every command shares: progress bars on standard error, one-line errors, exit codes that tell."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import fields
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from models.errors import HammingwayError
from models.evaluation.quality import Quality

T = TypeVar("T")
FAILED = 1
INTERRUPTED = 130


def run(command: Callable[[], None]) -> None:
    """Run a command and exit: 0 done, 1 an error told in one line, 2 wrong arguments, 130 stopped by Ctrl-C."""
    try:
        command()
    except (HammingwayError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)


@contextmanager
def progress(
    description: str, total: int | None, status: Callable[[], str] | None = None
) -> Iterator[Callable[[int], None]]:
    """A progress bar with time left, and rate or `status()`; call what it gives with the number of items done more."""
    columns: list[ProgressColumn] = [TextColumn("{task.description:12}"), BarColumn(), MofNCompleteColumn(), _Rate()]
    columns += [TimeElapsedColumn(), TimeRemainingColumn()]
    if status is not None:
        # A line of 80 characters has room for one or the other.
        shown = TextColumn("{task.fields[status]}")
        columns = [TextColumn("{task.description}"), BarColumn(8), MofNCompleteColumn(), TimeRemainingColumn(), shown]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, status="")
        yield lambda number: bar.update(task, advance=number, status="" if status is None else status())


def track(
    values: Iterable[T], description: str, total: int | None = None, status: Callable[[], str] | None = None
) -> Iterator[T]:
    """The same values, with a progress bar."""
    if total is None and isinstance(values, Sized):
        total = len(values)
    with progress(description, total, status) as advance:
        for value in values:
            yield value
            advance(1)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")


HEADINGS = ("", "P@10", "P@100", "mAP@1000", "R 10@10", "R 10@100", "asymmetric", "rescored", "entropy", "distinct")


def quality_cells(quality: Quality) -> tuple[str, ...]:
    """One row of the quality table under `HEADINGS`; a dash where a figure has no meaning."""
    values = (getattr(quality, field.name) for field in fields(quality))
    return tuple("-" if v is None else v if isinstance(v, str) else f"{v:.4f}" for v in values)


def print_quality(table: list[Quality]) -> None:
    """The quality table, one row a method."""
    shown = Table(*HEADINGS)
    for quality in table:
        shown.add_row(*quality_cells(quality))
    Console(width=130).print(shown)

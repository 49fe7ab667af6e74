"""What every command shares: progress bars on standard error, one-line errors, exit codes that tell."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from models.errors import HammingwayError
from models.evaluation import Quality

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


def track(values: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """The same values, with a progress bar and the time that is left."""
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(values, description=description, total=total)


def print_quality(table: list[Quality]) -> None:
    """The quality table, one row a method; a dash where a figure has no meaning."""
    headings = ("", "precision@10", "precision@100", "mAP", "recall 10@10", "recall 10@100", "bit entropy", "distinct")
    shown = Table(*headings)
    for quality in table:
        values = (getattr(quality, field.name) for field in fields(quality))
        shown.add_row(*("-" if v is None else v if isinstance(v, str) else f"{v:.4f}" for v in values))
    Console(width=130).print(shown)

"""What was measured, in a file that grows cell by cell: a run that was stopped, or asks for more, measures the rest."""

import json
import statistics
import subprocess  # nosec B404  # a command of ours
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.errors import InvalidInputError
from scripts.benchmark.machine import describe

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cell:
    """What is measured at once: a part (`similar/glosses`), so many items, a code length or none, and a seed."""

    part: str
    items: int
    bits: int | None
    seed: int


@dataclass(frozen=True)
class Figures:
    """What one method came to in one cell, by column. `bits` is the size of what it stores of an item.

    `note` is what training kept, or why there are no values. `seconds` is how long the method took, `whole_seconds` the
    whole cell, and `commit` the state of the code that was measured.
    """

    cell: Cell
    method: str
    bits: int
    values: dict[str, float]
    note: str = ""
    seconds: float = 0.0
    whole_seconds: float = 0.0
    commit: str = ""


@dataclass(frozen=True)
class Median:
    """The medians of a method's columns over the seeds, and its notes, each with the number of seeds that have it."""

    part: str
    items: int
    case_bits: int | None
    method: str
    bits: int
    values: dict[str, float]
    notes: dict[str, int]
    seeds: int


@dataclass
class Results:
    """All figures so far; `file` is None where they are only printed."""

    file: Path | None = None
    figures: list[Figures] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=describe)

    @classmethod
    def open(cls, file: Path | None) -> "Results":
        """The results of a file that an earlier run wrote, or none."""
        results = cls(file)
        if file is not None and file.exists():
            try:
                stored = json.loads(file.read_text())
                results.figures = [Figures(**{**each, "cell": Cell(**each["cell"])}) for each in stored["figures"]]
                results.machine = stored["machine"]
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidInputError(f"expected {file} to be the results of an earlier run, got {error}") from None
        return results

    def has(self, cell: Cell) -> bool:
        """Whether a cell was measured."""
        return any(each.cell == cell for each in self.figures)

    def add(self, figures: Iterable[Figures]) -> None:
        """Add the figures of a whole cell and write the file anew; it appears when it is whole."""
        self.figures += figures
        if self.file is not None:
            content = {"machine": self.machine, "figures": [asdict(each) for each in self.figures]}
            self.file.parent.mkdir(parents=True, exist_ok=True)
            beside = self.file.with_name(f".{self.file.name}.part")
            beside.write_text(json.dumps(content, indent=0))
            beside.rename(self.file)

    def medians(self, part: str) -> list[Median]:
        """The medians of a part, in the order in which they were first measured, by size and code length."""
        groups: dict[tuple[int, int, str, int], list[Figures]] = {}
        for each in self.figures:
            if each.cell.part == part:
                groups.setdefault((each.cell.items, each.cell.bits or 0, each.method, each.bits), []).append(each)
        found = []
        for (items, case_bits, method, bits), several in sorted(groups.items(), key=lambda group: group[0][:2]):
            names = list(dict.fromkeys(name for each in several for name in each.values))
            values = {
                name: statistics.median([each.values[name] for each in several if name in each.values])
                for name in names
            }
            notes: dict[str, int] = {}
            for each in several:
                if each.note:
                    notes[each.note] = notes.get(each.note, 0) + 1
            found.append(Median(part, items, case_bits or None, method, bits, values, notes, len(several)))
        return found

    def seconds(self, part: str) -> float:
        """How long the cells of a part took."""
        return sum({each.cell: each.whole_seconds for each in self.figures if each.cell.part == part}.values())

    def commits(self, part: str) -> list[str]:
        """The states of the code that the figures of a part are of."""
        return sorted({each.commit for each in self.figures if each.cell.part == part})


def commit() -> str:
    """The state of the code: the commit, with `+` where files were changed since; empty where it is no repository."""
    try:
        described = subprocess.run(  # nosec B603 B607  # a list of ours, no shell; git is where the developer has it
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.stdout.strip()

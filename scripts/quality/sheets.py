"""Tables of the benchmark, for the console and in Markdown, and what they come to in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from scripts.quality.alterations import ALTERATIONS
from scripts.quality.edits import EDITS
from scripts.quality.learning import LEARNED
from scripts.quality.results import Median, Results
from scripts.quality.similar import COLUMNS, FLOAT

MARGIN = 0.005
"""Below a baseline by no more than this counts as level: seeds differ by more."""
ITQ = "PCA-ITQ"
NEAR_COPY_BITS = 128
PICTURE_BITS = 64
JUDGED = {
    "similar": tuple(COLUMNS),
    "near-copies": ("F1", "first"),
    "altered": ("all", "trained kinds", "other kinds"),
}
"""The columns by which a trained hasher loses or not."""
REMOVAL = ("recall", "precision", "F1", "found, trained edits", "found, other edits", "first")


@dataclass(frozen=True)
class Sheet:
    """A table: a title, headings and rows of cells."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def rich(self) -> Table:
        """For the console."""
        table = Table(title=self.title, title_justify="left")
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a page."""
        lines = [self.headings, ("---",) * len(self.headings), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True)
class Loss:
    """One figure in which a trained hasher is below another method by more than `MARGIN`."""

    part: str
    case: str
    column: str
    trained: float
    method: str
    other: float


def sheets(part: str, results: Results) -> list[Sheet]:
    """The tables of one part; none where nothing of it was measured."""
    medians = results.medians(part)
    if not medians:
        return []
    make = {"similar": _similar, "near-copies": _near_copies, "altered": _altered}[part.partition("/")[0]]
    return make(medians)


def _similar(medians: list[Median]) -> list[Sheet]:
    rows = []
    for case in _cases(medians):
        trained, itq = _method(case, LEARNED), _method(case, ITQ)
        columns = [_beside(trained, itq, column) for column in COLUMNS]
        floats = [_cell(_method(case, FLOAT).values.get(column)) for column in ("P@10", "P@100")]
        rows.append((f"{trained.items:,}", str(trained.bits), _notes(trained), *columns, *floats))
    headings = ("items", "bits", "kept", *COLUMNS, "float P@10", "float P@100")
    return [Sheet("what training kept (its difference to PCA-ITQ)", headings, rows)]


def _near_copies(medians: list[Median]) -> list[Sheet]:
    rows = [
        (each.method, f"{each.bits:,}", *(_cell(each.values.get(column)) for column in REMOVAL),
         _cell(each.values.get("largest group"), 0), _cell(each.values.get("threshold"), 2), _notes(each))
        for each in sorted(medians, key=lambda each: _order(each.method))
    ]  # fmt: skip
    headings = ("method", "bits an item", "recall", "precision", "F1", "recall: trained edits", "recall: other edits",
                "first place", "largest group", "threshold", "")  # fmt: skip
    shown = _at(medians, NEAR_COPY_BITS)
    by_edit = [
        (f"{edit.name}{' (trained)' if edit.trained else ''}",
         *(_cell(each.values.get(f"first: {edit.name}")) for each in shown))
        for edit in EDITS
    ]  # fmt: skip
    return [
        Sheet("removals", headings, rows),
        Sheet("a true partner at the first place, by edit", ("edit", *map(_named, shown)), by_edit),
    ]


def _altered(medians: list[Median]) -> list[Sheet]:
    shown = _at(medians, PICTURE_BITS)
    names = ["all", "trained kinds", "other kinds", *(each.name for each in ALTERATIONS)]
    trained = {each.name for each in ALTERATIONS if each.trained}
    rows = [
        (f"{name}{' (trained)' if name in trained else ''}", *(_cell(each.values.get(name)) for each in shown))
        for name in names
    ]
    lengths = sorted({each.bits for each in medians if each.method == LEARNED})
    methods = dict.fromkeys(each.method for each in medians if each.bits in lengths and each.values)
    by_bits = []
    for method in methods:
        values = {each.bits: each.values.get("all") for each in medians if each.method == method}
        by_bits.append((method, *(_cell(values.get(bits)) for bits in lengths)))
    return [
        Sheet("the original at the first place, by alteration", ("alteration", *map(_named, shown)), rows),
        Sheet("all alterations, by bits", ("method", *map(str, lengths)), by_bits),
    ]


def losses(results: Results, parts: list[str]) -> list[Loss]:
    """Every column of every case in which another method is above what training kept.

    The best method of the same size an item is compared, and the best of those of other sizes.
    """
    found = []
    for part in parts:
        columns = JUDGED[part.partition("/")[0]]
        for case in _cases(results.medians(part)):
            lengths = {each.bits for each in case if each.method == LEARNED}
            others = [each for each in case if each.method not in (LEARNED, FLOAT)]
            for trained in [each for each in case if each.method == LEARNED]:
                same = [each for each in others if each.bits == trained.bits]
                fixed = [each for each in others if each.bits not in lengths]
                found += [
                    Loss(
                        part, f"{trained.items:,} items, {trained.bits} bits", column, trained.values[column],
                        f"{best.method}, {best.bits:,} bits", best.values[column],
                    )
                    for column in columns if column in trained.values
                    for rivals in (same, fixed)
                    if (best := _best(rivals, column)) and best.values[column] > trained.values[column] + MARGIN
                ]  # fmt: skip
    return found


def _best(medians: list[Median], column: str) -> Median | None:
    return max((each for each in medians if column in each.values), key=lambda each: each.values[column], default=None)


def losses_sheet(found: list[Loss]) -> Sheet:
    """The losses, a line for each part, column and better method, with the largest of them."""
    groups: dict[tuple[str, str, str], list[Loss]] = {}
    for loss in found:
        groups.setdefault((loss.part, loss.column, loss.method), []).append(loss)
    rows = []
    for (part, column, method), several in groups.items():
        worst = max(several, key=lambda loss: loss.other - loss.trained)
        rows.append((part, column, method, str(len(several)), worst.case, f"{worst.trained:.3f}", f"{worst.other:.3f}"))
    headings = ("part", "column", "better", "in cases", "by most at", "trained", "the other")
    return Sheet("where another method is better by more than 0.005", headings, rows)


def verdict(results: Results, parts: list[str]) -> list[str]:
    """What the tables come to, a sentence for each kind of job that was measured."""
    said = []
    similar = [
        (trained, _method(case, ITQ), _method(case, FLOAT))
        for part in parts if part.startswith("similar/")
        for case in _cases(results.medians(part))
        for trained in [_method(case, LEARNED)]
    ]  # fmt: skip
    if similar:
        differences = [
            (trained.values[column] - itq.values[column], column, trained)
            for trained, itq, _ in similar for column in COLUMNS if column in trained.values
        ]  # fmt: skip
        level = sum(difference >= -MARGIN for difference, _, _ in differences)
        worst, column, where = min(differences, key=lambda each: each[0])
        above = [trained.values["P@100"] >= floats.values["P@100"] for trained, _, floats in similar
                 if trained.bits == PICTURE_BITS and "P@100" in trained.values]  # fmt: skip
        said.append(
            f"Similar items: what training kept is level with PCA-ITQ or above it in {level} of {len(differences)} "
            f"figures; the least is {worst:+.3f} ({column}, {where.part.partition('/')[2]}, {where.items:,} items, "
            f"{where.bits} bits). By P@100 at {PICTURE_BITS} bits, {sum(above)} of {len(above)} are at the float "
            "features or above them."
        )
    for part in parts:
        kind, _, data = part.partition("/")
        medians = results.medians(part)
        if kind == "near-copies" and medians:
            trained, *others = _ranked(medians, NEAR_COPY_BITS, "recall")
            said.append(
                f"Near-copies of {data}, {trained.bits} bits: {trained.values['recall']:.0%} of the copies go, and "
                f"{trained.values['precision']:.1%} of the removals are right. {_rivals(others, 'recall', 'precision')}"
            )
        if kind == "altered" and medians:
            trained, *others = _ranked(medians, PICTURE_BITS, "all")
            said.append(
                f"Altered pictures of {data}, {trained.bits} bits: the original comes first for "
                f"{trained.values['all']:.1%}. {_rivals(others, 'all')}"
            )
    return said


def _ranked(medians: list[Median], bits: int, column: str) -> list[Median]:
    """The trained hasher at this length, then the others, best first."""
    trained, *others = sorted(_at(medians, bits), key=lambda each: each.method != LEARNED)
    return [trained, *sorted((each for each in others if each.values), key=lambda each: -each.values[column])]


def _rivals(others: list[Median], *columns: str) -> str:
    named = (
        f"{each.method} ({each.bits:,} bits) {' / '.join(f'{each.values[column]:.1%}' for column in columns)}"
        for each in others
    )
    return f"Others: {', '.join(named)}."


def _cases(medians: list[Median]) -> list[list[Median]]:
    """The medians of each size and code length."""
    groups: dict[tuple[int, int | None], list[Median]] = {}
    for each in medians:
        groups.setdefault((each.items, each.case_bits), []).append(each)
    return list(groups.values())


def _at(medians: list[Median], bits: int) -> list[Median]:
    """Each method at one length, or the longest that was measured below it; methods of one size as they are."""
    lengths = sorted({each.bits for each in medians if each.method == LEARNED})
    chosen = max([length for length in lengths if length <= bits] or lengths[:1])
    return sorted(
        (each for each in medians if each.values and (each.bits == chosen or each.bits not in lengths
                                                       or each.method in ("pHash", "dHash", "wHash", "PDQ"))),
        key=lambda each: _order(each.method),
    )  # fmt: skip


def _method(case: list[Median], method: str) -> Median:
    return next(each for each in case if each.method == method)


def _order(method: str) -> int:
    """Trained hashers first, then what is compared with them as it was measured."""
    return int(method != LEARNED)


def _named(median: Median) -> str:
    return f"{median.method}, {median.bits:,}"


def _beside(trained: Median, other: Median, column: str) -> str:
    if column not in trained.values:
        return "-"
    return f"{trained.values[column]:.3f} ({trained.values[column] - other.values[column]:+.3f})"


def _cell(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _notes(median: Median) -> str:
    if len(median.notes) == 1:
        return next(iter(median.notes))
    return ", ".join(f"{note} ({times})" for note, times in median.notes.items())

"""Results, tables, losses, verdict and page, from figures written by hand."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import InvalidInputError
from scripts import evaluate
from scripts.quality import run
from scripts.quality.page import fill
from scripts.quality.plan import Plan
from scripts.quality.results import Cell, Figures, Results
from scripts.quality.sheets import losses, losses_sheet, sheets, verdict

PART = "similar/glosses"
NAMES = ("P@10", "P@100", "mAP@1000", "R 10@10", "R 10@100")


def figures(method: str, seed: int, value: float, note: str = "", **changed: float) -> Figures:
    values = {**dict.fromkeys(NAMES, value), **{name.replace("_", "@"): each for name, each in changed.items()}}
    return Figures(Cell(PART, 500, 64, seed), method, 64, values, note, 1.0, 60.0, "abc")


def measured(file: Path | None = None) -> Results:
    results = Results(file)
    for seed, (trained, itq) in enumerate([(0.5, 0.4), (0.9, 0.5), (0.6, 0.7)]):
        note = "network" if seed else "PCA-ITQ"
        results.add([
            figures("trained", seed, trained, note, P_100=0.3), figures("PCA-ITQ", seed, itq),
            figures("random projections", seed, 0.2), figures("float features", seed, 1.0),
        ])  # fmt: skip
    return results


def test_medians_are_over_the_seeds_and_notes_are_counted() -> None:
    trained, itq, *_ = measured().medians(PART)
    assert (trained.values["P@10"], trained.values["P@100"], itq.values["P@10"]) == (0.6, 0.3, 0.5)
    assert trained.notes == {"PCA-ITQ": 1, "network": 2}
    assert trained.seeds == 3
    assert measured().seconds(PART) == 180


def test_a_file_is_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "new" / "results.json"
    written = measured(file)
    read = Results.open(file)
    assert read.figures == written.figures
    assert read.has(Cell(PART, 500, 64, 2))
    assert not read.has(Cell(PART, 500, 64, 3))
    assert [path.name for path in file.parent.iterdir()] == ["results.json"]
    file.write_text('{"figures": [{}]}')
    with pytest.raises(InvalidInputError, match=r"expected .*results\.json to be the results of an earlier run"):
        Results.open(file)


def test_a_table_has_each_column_beside_pca_itq() -> None:
    (sheet,) = sheets(PART, measured())
    assert sheet.markdown().splitlines()[2] == (
        "| 500 | 64 | PCA-ITQ (1), network (2) | 0.600 (+0.100) | 0.300 (-0.200) | 0.600 (+0.100) | 0.600 (+0.100) "
        "| 0.600 (+0.100) | 1.000 | 1.000 |"
    )
    assert len(sheet.rich().columns) == 10
    assert sheets("similar/glove", measured()) == []


def test_a_loss_is_a_column_in_which_another_method_is_better_by_more_than_the_margin() -> None:
    (loss,) = losses(measured(), [PART])
    assert (loss.column, loss.trained, loss.method, loss.other) == ("P@100", 0.3, "PCA-ITQ, 64 bits", 0.5)
    row = losses_sheet([loss]).rows[0]
    assert row == (PART, "P@100", "PCA-ITQ, 64 bits", "1", "500 items, 64 bits", "0.300", "0.500")
    level = Results()
    level.add([figures("trained", 0, 0.5), figures("PCA-ITQ", 0, 0.5049), figures("float features", 0, 1.0)])
    assert losses(level, [PART]) == []


def test_a_removal_of_nothing_is_no_better_for_its_precision() -> None:
    results = Results()
    cell = Cell("near-copies/docstrings", 100, None, 0)
    results.add([
        Figures(cell, "trained", 128, {"recall": 0.8, "precision": 0.98, "F1": 0.88, "first": 0.9}),
        Figures(cell, "PCA-ITQ", 128, {"recall": 0.0, "precision": 1.0, "F1": 0.0, "first": 0.9}),
        Figures(cell, "MinHash", 4096, {"recall": 0.9, "precision": 0.99, "F1": 0.94, "first": 0.9}),
        Figures(cell, "PCA-ITQ", 256, {"recall": 1.0, "precision": 1.0, "F1": 1.0, "first": 1.0}),
    ])  # fmt: skip
    # The baseline of 256 bits is no rival of 128 bits where 256 are trained, too.
    results.add([Figures(cell, "trained", 256, {"recall": 1.0, "precision": 1.0, "F1": 1.0, "first": 1.0})])
    found = losses(results, ["near-copies/docstrings"])
    assert {(loss.case, loss.column, loss.method) for loss in found} == {
        ("100 items, 128 bits", "F1", "MinHash, 4,096 bits")
    }
    assert "80% of the copies" in verdict(results, ["near-copies/docstrings"])[0]


def test_the_verdict_counts_columns_and_names_the_least() -> None:
    (sentence,) = verdict(measured(), [PART])
    assert "level with PCA-ITQ or above it in 4 of 5 figures" in sentence
    assert "-0.200 (P@100, glosses, 500 items, 64 bits)" in sentence
    assert "0 of 1 are at the float features" in sentence


PAGE = """# Quality

Words.

### verdict

`python -m scripts.evaluate --benchmark jobs`: old

old
### `similar/glosses`

What it is.

`python -m scripts.evaluate --benchmark jobs --only similar/glosses`: old

| old | table |

## Another

Stays.

### losses
"""


def test_a_page_keeps_its_words_and_gets_new_figures() -> None:
    page = fill(PAGE, measured(), [PART, "similar/glove"])
    assert "old" not in page
    for part in (
        "Words.",
        "What it is.\n\n`python",
        "## Another\n\nStays.",
        "| 500 | 64 |",
        "--only similar/glosses`",
        "4 of 5",
        "abc",
    ):
        assert part in page
    assert page.index("### verdict") < page.index("4 of 5") < page.index("### `similar") < page.index("| 500")
    assert fill(page, measured(), [PART]) == page


def test_a_page_without_a_heading_is_told() -> None:
    with pytest.raises(InvalidInputError, match="expected a heading for each of similar/glosses"):
        fill(PAGE.replace("similar/glosses", "other"), measured(), [PART])


def arguments(*given: str) -> argparse.Namespace:
    return evaluate.parse(["--benchmark", "jobs", *given])


def test_parts_are_chosen_by_how_they_start() -> None:
    assert run.chosen(None) == run.PARTS
    assert run.chosen(["altered", "similar/glo"]) == [
        "similar/glosses", "similar/glove", "altered/stamps", "altered/fashion-mnist"
    ]  # fmt: skip
    with pytest.raises(InvalidInputError, match="expected --only to name a part"):
        run.chosen(["nothing"])


def test_quick_is_less_and_options_go_before_it() -> None:
    plan = run.plan_of(arguments("--quick", "--bits", "128"), Results())
    assert (plan.seeds, plan.bits, plan.sizes) == (1, [128], [500, 2000])
    whole = run.plan_of(arguments(), Results())
    assert (whole.seeds, whole.bits, whole.sizes) == (3, [32, 64, 128, 256], [500, 2000, 20_000, 100_000])


class Known:
    """A kind of job whose figures are known."""

    def __init__(self) -> None:
        self.measured: list[Cell] = []

    def measure(self, part: str, plan: Plan) -> Iterator[list[Figures]]:
        if part != PART:
            raise InvalidInputError("expected data, found none")
        for seed in range(plan.seeds):
            cell = Cell(part, 500, 64, seed)
            if plan.wants(cell):
                self.measured.append(cell)
                yield [figures(name, seed, 0.5) for name in ("trained", "PCA-ITQ", "float features")]


def test_the_command_measures_prints_and_fills(tmp_path: Path, monkeypatch, capsys) -> None:
    known = Known()
    monkeypatch.setattr(run, "KINDS", {"similar": known})
    page = tmp_path / "quality.md"
    page.write_text(PAGE)
    given = ["--only", "similar/glo", "--json", str(tmp_path / "results.json"), "--page", str(page), "--seeds"]
    run.print_jobs(arguments(*given, "2"))
    printed = capsys.readouterr().out
    assert "0.500 (+0.000)" in printed
    assert "similar/glove: not measured: expected data, found none" in printed
    assert "5 of 5" in page.read_text()
    # A second run measures what is missing.
    run.print_jobs(arguments(*given, "3"))
    assert [cell.seed for cell in known.measured] == [0, 1, 2]

"""Similar items: what is drawn, and a whole cell whose figures are those of the evaluation."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import InvalidInputError
from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation
from models.features.base import Extracted
from models.features.vector import VectorFeatures
from models.training import config
from scripts.datasets.dataset import Dataset, Item
from scripts.quality import similar, sources
from scripts.quality.plan import Plan
from scripts.quality.sources import Source


def source(items: int, test: int = 0) -> Source:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, items)
    rows = (labels[:, None] * 2 + rng.standard_normal((items, 12))).astype(np.float32)
    return Source(VectorFeatures(12), rows, labels.astype(str), test)


def test_sizes_are_those_there_are_items_for_and_all_of_them() -> None:
    assert source(1000).sizes([100, 500, 2000]) == [100, 500, 800]
    assert source(1000).sizes([100, 500]) == [100, 500]
    # 800 are little more than 700.
    assert source(1000).sizes([700, 2000]) == [700]
    assert source(100).sizes([500]) == [80]
    assert source(1000, test=400).sizes([100, 2000]) == [100, 600]


@pytest.mark.parametrize("test", [0, 50])
def test_queries_are_never_among_the_base(test: int) -> None:
    parts = source(300, test).split(200, 30, seed=1)
    assert (len(parts.base), len(parts.queries)) == (200, 30)
    assert not set(parts.base_numbers) & set(parts.query_numbers)
    if test:
        assert min(parts.query_numbers) >= 250
    other = source(300, test).split(200, 30, seed=2)
    assert parts.query_numbers.tolist() != other.query_numbers.tolist()


def test_the_queries_of_a_seed_are_those_of_every_size() -> None:
    whole = source(300)
    assert whole.split(100, 30, 1).query_numbers.tolist() == whole.split(200, 30, 1).query_numbers.tolist()


def test_a_whole_cell(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(config, "MINIMUM_STEPS", 4)
    whole = source(300)
    monkeypatch.setattr(similar, "open_similar", lambda name, most, cache, encoders: whole)
    plan = Plan(tmp_path, tmp_path, sizes=[100, 1000], bits=[8], seeds=2, queries=20)
    cells = list(similar.measure("similar/any", plan))
    assert [(each[0].cell.items, each[0].cell.seed, each[0].cell.bits) for each in cells] == [
        (items, seed, bits) for items in (100, 240) for seed in (0, 1) for bits in (8,)
    ]
    parts = whole.split(100, 20, 0)
    expected = Evaluation(parts).codes("PCA-ITQ", baselines(parts.base, 8)["PCA-ITQ"])
    itq = next(each for each in cells[0] if each.method == "PCA-ITQ")
    assert itq.values == {
        "P@10": expected.precision_at_10, "P@100": expected.precision_at_100,
        "mAP@1000": expected.mean_average_precision, "R 10@10": expected.recall_10_at_10,
        "R 10@100": expected.recall_10_at_100,
    }  # fmt: skip
    assert cells[0][0].method == "trained" and cells[0][0].note
    assert cells[0][-1].values["R 10@10"] == 1.0
    left = [
        each[0].cell
        for each in similar.measure(
            "similar/any", replace(plan, wants=lambda cell: cell.items == 240 and cell.seed == 1)
        )
    ]
    assert [(cell.items, cell.seed) for cell in left] == [(240, 1)]


class Counting(VectorFeatures):
    """An encoder of texts that counts how many it was given."""

    def __init__(self) -> None:
        super().__init__(2)
        self.given = 0

    def rows(self, documents, query: bool = False) -> Extracted:
        self.given += len(documents)
        return Extracted(np.array([[len(text), text.count("e")] for text in documents], np.float32), {})


def test_the_features_of_an_encoder_are_kept_for_the_next_run(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "encoders" / "minilm").mkdir(parents=True)
    encoder = Counting()
    monkeypatch.setattr(sources, "open_encoder", lambda folder: encoder)
    items = [Item(str(number), "e" * (number % 5) + "x" * number, str(number % 3)) for number in range(40)]
    monkeypatch.setattr(sources, "open_dataset", lambda name: Dataset(name, "text", 40, lambda: iter(items)))
    monkeypatch.setattr(sources, "QUERIES", 10)
    folders = tmp_path / "cache", tmp_path / "encoders"
    first, again = (sources.open_similar("minilm-docstrings", 20, *folders) for _ in range(2))
    assert encoder.given == len(first.rows) == 30
    assert first.rows.tolist() == again.rows.tolist()
    assert first.labels is not None
    by_row = {(len(item.document), item.document.count("e")): item.label for item in items}
    assert [by_row[tuple(map(int, row))] for row in first.rows] == first.labels.tolist()
    items[0] = Item("0", "other", "0")
    items[1] = Item("1", "another", "1")
    sources.open_similar("minilm-docstrings", 40, *folders)
    assert encoder.given == 30 + 40


def test_an_encoder_that_is_not_there_is_told_with_what_makes_it(tmp_path) -> None:
    with pytest.raises(InvalidInputError, match=r"python -m scripts\.encoder add minilm"):
        sources.open_similar("minilm-docstrings", 20, tmp_path, tmp_path)

from models.evaluation.quality import Quality
from models.evaluation.verdict import verdict


def _row(name: str, p10: float | None, p100: float | None, mean: float | None, r10: float, r100: float) -> Quality:
    return Quality(name, p10, p100, mean, r10, r100, None, None, None, None)


FLOATS = _row("float features", 0.9, 0.8, 0.7, 1.0, 1.0)


def test_every_column_that_a_baseline_wins_is_named() -> None:
    table = [
        _row("hashing", 0.60, 0.55, 0.50, 0.30, 0.70),
        _row("PCA-ITQ", 0.59, 0.56, 0.50, 0.31, 0.69),
        _row("random projections", 0.61, 0.20, 0.10, 0.05, 0.20),
        FLOATS,
    ]
    assert verdict(table) == [
        "A baseline is better in 3 of 5 columns: P@10 (random projections 0.6100, this hasher 0.6000); "
        "P@100 (PCA-ITQ 0.5600, this hasher 0.5500); R 10@10 (PCA-ITQ 0.3100, this hasher 0.3000).",
        "P@100: this hasher 0.5500, the best baseline 0.5600, the float features 0.8000.",
    ]


def test_without_labels_only_recall_is_compared() -> None:
    none = (None, None, None)
    table = [
        _row("hashing", *none, 0.4, 0.8),
        _row("PCA-ITQ", *none, 0.3, 0.8),
        _row("float features", *none, 1.0, 1.0),
    ]
    assert verdict(table) == [
        "No baseline is better in any of 2 columns (R 10@10, R 10@100).",
        "R 10@100: this hasher 0.8000, the best baseline 0.8000, the float features 1.0000.",
    ]


def test_what_the_table_rounds_away_is_no_loss() -> None:
    table = [_row("hashing", 0.5, 0.5, 0.5, 0.5, 0.5), _row("PCA-ITQ", 0.50004, 0.5, 0.5, 0.5, 0.5), FLOATS]
    assert verdict(table)[0].startswith("No baseline is better in any of 5 columns")


def test_a_table_without_baselines() -> None:
    assert verdict([_row("hashing", 0.5, 0.5, 0.5, 0.5, 0.5), FLOATS]) == ["There is no baseline to compare with."]

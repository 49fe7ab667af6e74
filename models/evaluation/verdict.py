"""Verdict: the quality table in words."""

from models.evaluation.quality import Quality

COLUMNS = {
    "precision_at_10": "P@10",
    "precision_at_100": "P@100",
    "mean_average_precision": "mAP@1000",
    "recall_10_at_10": "R 10@10",
    "recall_10_at_100": "R 10@100",
}
"""The columns that are compared; those of the finer rankings follow from them."""


def verdict(table: list[Quality]) -> list[str]:
    """Sentences on a table with the hasher first and the float features last: what it beats, and each column it loses.

    A baseline that is better by any amount, as the table is printed, is named.
    """
    if len(table) < 3:
        return ["There is no baseline to compare with."]
    own, *baselines, floats = table
    columns = [field for field in COLUMNS if getattr(own, field) is not None]
    losses = []
    for field in columns:
        best = max(baselines, key=lambda quality: float(getattr(quality, field)))
        if shown(best, field) > shown(own, field):
            losses.append(f"{COLUMNS[field]} ({best.name} {shown(best, field)}, this hasher {shown(own, field)})")
    if losses:
        words = f"A baseline is better in {len(losses)} of {len(columns)} columns: {'; '.join(losses)}."
    else:
        words = f"No baseline is better in any of {len(columns)} columns ({', '.join(COLUMNS[f] for f in columns)})."
    sentences = [words]
    field = "precision_at_100" if "precision_at_100" in columns else "recall_10_at_100"
    sentences.append(
        f"{COLUMNS[field]}: this hasher {shown(own, field)}, the best baseline "
        f"{max(shown(quality, field) for quality in baselines)}, the float features {shown(floats, field)}."
    )
    return sentences


def shown(quality: Quality, field: str) -> str:
    """A figure as the table prints it."""
    return f"{getattr(quality, field):.4f}"

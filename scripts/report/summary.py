"""The head of the page: what was trained on what, how good it is, and every option of the training."""

import json
from dataclasses import dataclass
from datetime import datetime

from models.evaluation.quality import Quality
from scripts.console import HEADINGS, quality_cells
from scripts.report.material import Material
from scripts.report.parts import Section, Table, plain


@dataclass(frozen=True)
class Head:
    """A title, facts and options as pairs of words, and the section with the quality table."""

    title: str
    facts: list[tuple[str, str]]
    options: list[tuple[str, str]]
    quality: Section


def summary(material: Material, written: datetime) -> Head:
    """What stands above all sections."""
    hasher, split = material.hasher, material.split
    card = hasher.card
    config = card.get("training", {})
    steps = len(material.trained.history.losses["total"])
    took = "" if material.seconds is None else f", {_duration(material.seconds)}"
    facts = [
        ("objective", str(card.get("objective", "-"))),
        ("bits", str(hasher.bits)),
        ("data", f"{material.data.name} ({material.data.modality})"),
        ("items", f"{len(split.base):,}"),
        ("held-out queries", f"{len(split.queries):,}"),
        ("features", f"{hasher.features.dimension:,} numbers"),
        ("training", f"{steps:,} steps{took}"),
        ("written", f"{written:%Y-%m-%d %H:%M} UTC"),
    ]
    options = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in config.items()]
    return Head(
        plain(hasher.reference),
        [(name, plain(value)) for name, value in facts],
        [(plain(name), plain(value, 1000)) for name, value in options],
        quality_section(material.table),
    )


def quality_section(table: list[Quality]) -> Section:
    """The quality table, and in words how the hasher stands."""
    caption = (
        "P@k and mAP are by label; R 10@k is the share of the 10 nearest by features among the k nearest by code; "
        "asymmetric and rescored are R 10@10 after a finer ranking of the 100 and 1,000 nearest. Good: the first row "
        "above the baselines and near the float features, with bit entropy and distinct codes near 1."
    )
    rows = [tuple(map(plain, quality_cells(quality))) for quality in table]
    return Section(
        "quality",
        "Quality",
        verdict(table),
        [Table("Beside its baselines", caption, ("method", *HEADINGS[1:]), rows, (0,))],
    )


def verdict(table: list[Quality]) -> str:
    """The hasher against the best baseline and the float features, in one sentence."""
    if len(table) < 3:
        return "How the codes rank items that were held out of training."
    field, name = ("precision_at_100", "precision@100")
    if table[0].precision_at_100 is None:
        field, name = ("recall_10_at_100", "recall 10@100")
    own, *baselines, floats = table
    best = max(baselines, key=lambda quality: float(getattr(quality, field)))
    return plain(
        f"{name}: {getattr(own, field):.3f}; {best.name}, the best baseline, {getattr(best, field):.3f}; "
        f"{floats.name} {getattr(floats, field):.3f}."
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"

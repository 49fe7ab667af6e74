"""The head of the page: what was trained on what, how good it is, and every option of the training."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.evaluation.choice import REFERENCE
from models.evaluation.quality import Quality
from models.evaluation.verdict import verdict
from scripts.console import HEADINGS, quality_cells
from scripts.report.material import Material
from scripts.report.parts import Picture, Section, Table, plain


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
        quality_section(material.table, card.get("kept")),
    )


def quality_section(table: list[Quality], kept: Mapping[str, Any] | None = None) -> Section:
    """In words how the hasher stands, and the quality table; `kept` is what the card says of the choice."""
    caption = (
        "P@k and mAP are by label; R 10@k is the share of the 10 nearest by features among the k nearest by code; "
        "asymmetric and rescored are R 10@10 after a finer ranking of the 100 and 1,000 nearest. Good: the first row "
        "above the baselines and near the float features, with bit entropy and distinct codes near 1."
    )
    rows = [tuple(map(plain, quality_cells(quality))) for quality in table]
    words = verdict(table)
    parts: list[Picture | Table] = [Table("Beside its baselines", caption, ("method", *HEADINGS[1:]), rows, (0,))]
    if kept is not None:
        words.append(f"Kept of {len(kept['scores'])} candidates: {kept['kept']}; {kept['why']}.")
        parts.append(_candidates(kept))
    return Section("quality", "Quality", " ".join(map(_long, words)), parts)


def _candidates(kept: Mapping[str, Any]) -> Table:
    columns = list(kept["scores"][0]["columns"])
    rows = [
        (plain(score["name"]), f"{score['score']:+.4f}", *(f"{score['columns'][column]:.4f}" for column in columns))
        for score in kept["scores"]
    ]
    caption = (
        f"What training made, measured on {kept['held_out']} items that it held out, without labels. "
        f"Kept is {kept['criterion']}. Good: a first row whose score is well above 0, which is {REFERENCE}'s."
    )
    return Table("Candidates", caption, ("candidate", "score", *map(plain, columns)), rows, (0,))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _long(words: str) -> str:
    return plain(words, 1000)

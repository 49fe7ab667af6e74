"""The section on code lengths: quality against bits, beside the baselines."""

from models.evaluation.quality import Quality
from scripts.report import figures
from scripts.report.parts import Picture, Section, Table, plain

MEASURES = {
    "precision_at_10": ("precision@10", "The share of the 10 nearest by code that have the query's label."),
    "precision_at_100": ("precision@100", "The share of the 100 nearest by code that have the query's label."),
    "mean_average_precision": ("mAP@1000", "Mean average precision by label, over the 1,000 nearest by code."),
    "recall_10_at_100": ("recall 10@100", "The share of the 10 nearest by features that are among the 100 by code."),
}


def lengths_section(by_bits: dict[int, list[Quality]]) -> Section:
    """One chart a measure; the float features, which have no bits, are a level."""
    parts: list[Picture | Table] = []
    ticks = sorted(by_bits)
    for field, (name, meaning) in MEASURES.items():
        points: dict[str, tuple[list[float], list[float]]] = {}
        levels: dict[str, float] = {}
        for bits in ticks:
            for number, quality in enumerate(by_bits[bits]):
                value = getattr(quality, field)
                if value is None:
                    continue
                if number == len(by_bits[bits]) - 1:
                    levels[plain(quality.name, 30)] = value
                    continue
                across, up = points.setdefault(plain(quality.name, 30), ([], []))
                across.append(bits)
                up.append(value)
        if not points:
            continue
        if field.startswith("recall"):
            levels.clear()  # against themselves, the float features have all there is to recall
        caption = f"{meaning} Good: the thick line above the others, and near its best with few bits."
        file = f"bits-{field.replace('_', '-')}.png"
        parts.append(Picture(file, f"{name} by bits", caption, figures.lines(points, "bits", name, levels, ticks)))
    words = "The same training at other lengths: what more bits would bring, and what fewer would cost."
    if not parts:
        words = "Other lengths were not measured."
    return Section("lengths", "Code lengths", words, parts)

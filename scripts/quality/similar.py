"""Similar items: what training keeps beside its baselines, by label and by the nearest items of the float features."""

import time
from collections.abc import Iterator

from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation, Quality
from models.itq import principal_directions
from scripts.console import track
from scripts.quality.learning import LEARNED, Learner
from scripts.quality.plan import Plan
from scripts.quality.results import Cell, Figures
from scripts.quality.sources import open_similar

DATA = ("fashion-mnist", "glosses", "glove", "minilm-glosses", "minilm-docstrings", "stamps")
FLOAT = "float features"
COLUMNS = {
    "P@10": "precision_at_10",
    "P@100": "precision_at_100",
    "mAP@1000": "mean_average_precision",
    "R 10@10": "recall_10_at_10",
    "R 10@100": "recall_10_at_100",
}


def measure(part: str, plan: Plan) -> Iterator[list[Figures]]:
    """All cells of one data set that were not measured before, smallest first."""
    source = open_similar(part.partition("/")[2], max(plan.sizes), plan.cache, plan.encoders)
    for items in source.sizes(plan.sizes):
        for seed in range(plan.seeds):
            cells = [Cell(part, items, bits, seed) for bits in plan.bits]
            left = [cell for cell in cells if plan.wants(cell)]
            if not left:
                continue
            parts = source.split(items, plan.queries, seed)
            evaluation = Evaluation(parts, track)
            floats = evaluation.floats()
            learner, principal = Learner(source.features, parts.base, seed), principal_directions(parts.base)
            for cell in left:
                bits = cell.bits or 0
                learned = learner.learn(bits)
                found = [
                    Figures(
                        cell, LEARNED, bits, _values(evaluation.codes(LEARNED, learned.encode)), learned.kept,
                        learned.seconds,
                    )
                ]  # fmt: skip
                for name, encode in baselines(parts.base, bits, principal).items():
                    started = time.monotonic()
                    quality = evaluation.codes(name, encode)
                    found.append(Figures(cell, name, bits, _values(quality), "", time.monotonic() - started))
                found.append(Figures(cell, FLOAT, 32 * source.features.dimension, _values(floats)))
                yield found


def _values(quality: Quality) -> dict[str, float]:
    values = {column: getattr(quality, field) for column, field in COLUMNS.items()}
    return {column: value for column, value in values.items() if value is not None}

"""The criterion table: how far the score by which training keeps a candidate agrees with labels it never saw."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models.errors import InvalidInputError
from models.evaluation.choice import REFERENCE
from models.evaluation.quality import Evaluation
from models.evaluation.split import Split, split
from models.rows import draw_places
from models.training.candidates import Training, networks, try_candidates
from models.training.config import Config
from scripts.console import track
from scripts.datasets import open_dataset
from scripts.features import pick_features
from scripts.rows import read_rows
from scripts.training import progress_of

BITS = (64, 256)
ITEMS = (500, 2000)
HELD_OUT, MOST_QUERIES = 0.5, 1000
COLUMNS = {"precision_at_10": "P@10", "precision_at_100": "P@100", "mean_average_precision": "mAP@1000"}


@dataclass(frozen=True)
class Tried:
    """A candidate in a cell: its score, and by how much each label column (3,) is above PCA-ITQ's."""

    cell: str
    name: str
    network: bool
    score: float
    gains: tuple[float, ...]


def print_criterion_table(arguments: argparse.Namespace) -> None:
    """Try the candidates on each DATA at several sizes and lengths, and print scores, gains and correlations."""
    torch.set_num_threads(arguments.threads)
    found: list[Tried] = []
    for name in arguments.criterion_table:
        data = open_dataset(name, arguments.data_dir)
        rows, labels = read_rows(data, pick_features(data, arguments))
        if labels is None:
            raise InvalidInputError(f"expected labels to compare with, got none in {name}")
        parts = split(rows, labels, HELD_OUT, MOST_QUERIES)
        for items in sorted({min(each, len(parts.base)) for each in ITEMS}):
            places = draw_places(len(parts.base), items, 0)
            numbers = parts.base_numbers[places]
            cell = replace(parts, base=parts.base[places], base_labels=labels[numbers], base_numbers=numbers)
            for bits in BITS:
                found += measure(data.name, cell, Config(bits))
    Console(width=130).print(table(found))
    print(correlations(found))


def measure(data: str, parts: Split, config: Config) -> list[Tried]:
    """Fit and score all candidates on the base, and measure each by label with the queries, which none has seen."""
    tried, _ = try_candidates(parts.base, config, Training(bar=progress_of(config.bits)))
    choice = tried.choose()
    if choice is None:
        raise ValueError("expected a choice, got none")
    evaluation = Evaluation(parts, track)
    measured = {name: evaluation.codes(name, encode) for name, encode in tried.encoders.items()}
    cell = f"{data}, {len(parts.base):,} items, {config.bits} bits"
    return [
        Tried(
            cell,
            score.name,
            score.name in networks(config),
            score.score,
            tuple(getattr(measured[score.name], each) - getattr(measured[REFERENCE], each) for each in COLUMNS),
        )
        for score in choice.scores
    ]


def table(found: Sequence[Tried]) -> Table:
    """A row for each candidate of each cell, the one that is kept first."""
    shown = Table("cell", "candidate", "score", *(f"{column} gained" for column in COLUMNS.values()))
    cell = ""
    for each in found:
        shown.add_row(
            each.cell if each.cell != cell else "",
            each.name,
            f"{each.score:+.4f}",
            *(f"{gain:+.4f}" for gain in each.gains),
        )
        cell = each.cell
    return shown


def correlations(found: Sequence[Tried]) -> str:
    """How the scores correlate with each label column: over all candidates, and over the networks within each cell."""
    networks = [each for each in found if each.network]
    lines = []
    for name, some, within in (("all candidates", list(found), False), ("networks of a cell", networks, True)):
        figures = np.array([(each.score, *each.gains) for each in some])
        if within:
            cells = [each.cell for each in some]
            for cell in set(cells):
                own = [place for place, other in enumerate(cells) if other == cell]
                figures[own] -= figures[own].mean(axis=0)
        agree = [np.corrcoef(figures[:, 0], figures[:, 1 + place])[0, 1] for place in range(len(COLUMNS))]
        told = ", ".join(f"{column} {value:.2f}" for column, value in zip(COLUMNS.values(), agree, strict=True))
        lines.append(f"correlation of the score with what labels gain, {name} ({len(some)}): {told}")
    return "\n".join(lines)

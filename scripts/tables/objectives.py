"""The benchmark: every objective and every baseline at every length, on queries that nothing was chosen by."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation, Quality
from models.evaluation.split import Split, part, split
from models.training.config import Config
from models.training.objectives import DUPLICATES, OBJECTIVES
from models.training.prepare import draw_sample
from scripts.console import print_quality, track
from scripts.datasets import Dataset, open_dataset
from scripts.features import pick_features
from scripts.options import positive, whole
from scripts.outputs import check_writable
from scripts.rows import read_rows
from scripts.training import make_hasher

BITS = (16, 32, 64, 128, 256)
TAKEN_APART_AT = 64
SHARE = 0.1
QUERIES = 2000
DEFAULT = "hashing"
ALONE = [name for name in OBJECTIVES if name != DUPLICATES]
"""Objectives that see no views of documents."""


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """The options that `print_benchmark` reads."""
    parser.add_argument("--benchmark", metavar="DATA", help="train every objective at every length and compare")
    parser.add_argument("--bits", type=whole, nargs="+", help="of --benchmark (default 16 32 64 128 256)")
    parser.add_argument("--objectives", nargs="+", choices=ALONE, default=ALONE, help="of --benchmark")
    parser.add_argument(
        "--epochs", type=whole, help="of --benchmark: passes over the items (default: as scripts.train)"
    )
    parser.add_argument("--no-terms", action="store_true", help="without what remains of hashing less each term")
    parser.add_argument(
        "--validation", action="store_true", help="queries out of the training items, as for every choice"
    )
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads of --benchmark (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where --benchmark writes its figures as well")


def print_benchmark(arguments: argparse.Namespace) -> None:
    """Train and print, a table a length; at 64 bits the default objective also without each of its terms."""
    torch.set_num_threads(arguments.threads)
    plan = {
        bits: [
            (name, replace(config, epochs=arguments.epochs))
            for name, config in recipes(bits, arguments.objectives, not arguments.no_terms)
        ]
        for bits in arguments.bits or BITS
    }
    if arguments.json is not None:
        check_writable(arguments.json.parent)
    data = open_dataset(arguments.benchmark, arguments.data_dir)
    features = pick_features(data, arguments)
    rows, labels = read_rows(data, features)
    parts = test_split(data, rows, labels)
    if arguments.validation:
        base = np.asarray(parts.base[:])
        parts = split(base, parts.base_labels, SHARE, QUERIES)
    print(f"{data.name}: {len(parts.queries)} queries against {len(parts.base)} items, {features.dimension} features")
    evaluation = Evaluation(parts, track)
    floats = evaluation.floats()
    sample = draw_sample(parts.base, Config(), lambda numbers: track(numbers, "neighbours"))
    figures: dict[int, list[Quality]] = {}
    for bits, planned in plan.items():
        table = figures.setdefault(bits, [])
        for name, config in planned:
            hasher = make_hasher("benchmark@1", features, sample, config).hasher
            table.append(evaluation.codes(name, hasher.logits))
        table += [evaluation.codes(name, encode) for name, encode in baselines(parts.base, bits).items()]
        print(f"{bits} bits")
        print_quality([*table, floats])
        if arguments.json is not None:
            shown = {str(key): [asdict(row) for row in rows] for key, rows in figures.items()}
            arguments.json.write_text(
                json.dumps({"data": data.name, "floats": asdict(floats), "bits": shown}, indent=1)
            )


def test_split(data: Dataset, rows: np.ndarray, labels: np.ndarray | None) -> Split:
    """The data set's own test items as queries, a tenth of the items (at most 2,000) where it has none."""
    if data.test:
        return part(rows, labels, np.arange(len(rows) - data.test, len(rows)))
    return split(rows, labels, SHARE, QUERIES)


def recipes(bits: int, objectives: list[str], terms: bool = True) -> Iterator[tuple[str, Config]]:
    """Each objective with its own defaults, and what remains of the default one when a term is left out."""
    for objective in objectives:
        config = Config(bits=bits, objective=objective)
        yield objective, config
        if terms and objective == DEFAULT and bits == TAKEN_APART_AT:
            for term in config.resolved().weights:
                yield f"{objective} without {term}", replace(config, weights={term: 0.0})

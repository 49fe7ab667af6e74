"""Measure: a hasher on DATA beside its baselines, every objective at every length, jobs, or a table of encoders."""

import argparse
from pathlib import Path

from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation, evaluate
from models.evaluation.split import split
from models.hasher import Hasher
from models.versions import find_folder
from scripts.console import print_quality, run, track
from scripts.datasets import DATA_DIR_HELP, DATA_HELP, open_dataset
from scripts.features import add_feature_options
from scripts.quality.run import add_job_options, print_jobs
from scripts.rows import read_rows
from scripts.tables.contractive import print_contractive_table
from scripts.tables.criterion import print_criterion_table
from scripts.tables.noise import print_noise_table
from scripts.tables.objectives import add_benchmark_options, print_benchmark
from scripts.train import HELD_OUT, MOST_QUERIES

JOBS = "jobs"


def main() -> None:
    """Do the one that the arguments ask for."""
    arguments = parse()
    if arguments.noise_table is not None:
        print_noise_table(arguments)
    elif arguments.criterion_table is not None:
        print_criterion_table(arguments)
    elif arguments.contractive_table:
        print_contractive_table(arguments.data_dir, validation=arguments.validation)
    elif arguments.benchmark == JOBS:
        print_jobs(arguments)
    elif arguments.benchmark is not None:
        print_benchmark(arguments)
    else:
        print_hasher(arguments)


def parse(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate", description=__doc__)
    parser.add_argument("hasher", metavar="HASHER", nargs="?", type=Path, help="hasher folder, or without the version")
    parser.add_argument("data", metavar="DATA", nargs="?", help=DATA_HELP)
    parser.add_argument("--contractive-table", action="store_true", help="train and measure the encoders of Rifai 2011")
    parser.add_argument("--noise-table", metavar="DATA", help="what noise between neighbours does to the encoder")
    parser.add_argument(
        "--criterion-table", metavar="DATA", nargs="+", help="how training's choice among candidates agrees with labels"
    )
    parser.add_argument("--data-dir", type=Path, help=DATA_DIR_HELP)
    add_benchmark_options(parser)
    add_job_options(parser)
    add_feature_options(parser)
    arguments = parser.parse_args(given)
    tables = (arguments.noise_table, arguments.criterion_table, arguments.contractive_table or None)
    asked = (arguments.benchmark, arguments.data, *tables)
    if sum(each is not None for each in asked) != 1:
        parser.error(
            "expected HASHER and DATA, or one of --benchmark DATA and --noise-table, --criterion-table, "
            "--contractive-table, got none or several"
        )
    return arguments


def print_hasher(arguments: argparse.Namespace) -> None:
    """Hold out the same queries as training with the same seed did, and measure."""
    hasher = Hasher.load(find_folder(arguments.hasher))
    rows, labels = read_rows(open_dataset(arguments.data, arguments.data_dir), hasher.features)
    parts = split(rows, labels, HELD_OUT, MOST_QUERIES, hasher.card["training"]["seed"])
    print(f"{hasher.reference}, {hasher.bits} bits: {len(parts.queries)} queries against {len(parts.base)} items")
    methods = {hasher.reference: hasher.logits, **baselines(parts.base, hasher.bits)}
    print_quality(evaluate(Evaluation(parts, track), methods))


if __name__ == "__main__":
    run(main)

"""Print the quality table of a hasher on DATA, beside its baselines in the same run."""

import argparse
from pathlib import Path

from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation, evaluate
from models.evaluation.split import split
from models.hasher import Hasher
from models.versions import find_folder
from scripts.console import print_quality, run
from scripts.datasets import open_dataset
from scripts.rows import read_rows
from scripts.train import HELD_OUT, MOST_QUERIES


def main() -> None:
    """Hold out the same queries as training with the same seed did, and measure."""
    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate", description=__doc__)
    parser.add_argument("hasher", metavar="HASHER", type=Path, help="hasher folder, or its path without the version")
    parser.add_argument("data", metavar="DATA", help="digits, pydocs, fashion-mnist, .npz, .ndjson, .jsonl or a folder")
    parser.add_argument("--data-dir", type=Path, help="folder of the IDX files of fashion-mnist")
    arguments = parser.parse_args()
    hasher = Hasher.load(find_folder(arguments.hasher))
    rows, labels = read_rows(open_dataset(arguments.data, arguments.data_dir), hasher.features)
    parts = split(rows, labels, HELD_OUT, MOST_QUERIES, hasher.card["training"]["seed"])
    print(f"{hasher.reference}, {hasher.bits} bits: {len(parts.queries)} queries against {len(parts.base)} items")
    print_quality(evaluate(Evaluation(parts), {hasher.reference: hasher.logits, **baselines(parts.base, hasher.bits)}))


if __name__ == "__main__":
    run(main)

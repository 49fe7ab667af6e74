"""Train a hasher: DATA in, one new hasher folder out, and a table of how well it does.

Started by torchrun, as several processes: the first reads, measures and writes, the others train with it.
"""

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.evaluation.baselines import baselines
from models.evaluation.copies import at_rank_one
from models.evaluation.fingerprint import take_fingerprint
from models.evaluation.quality import Evaluation, Quality, evaluate
from models.evaluation.split import split
from models.evaluation.verdict import verdict
from models.features import MODALITIES, Document, Features
from models.features.ngrams import NgramFeatures
from models.rows import Rows, blocks
from models.training.config import CHECKPOINT_SECONDS, STARTS, Config
from models.training.corruption import Corruption
from models.training.objectives import DUPLICATES, OBJECTIVES
from models.versions import next_folder
from scripts.console import print_quality, run, track
from scripts.datasets import DATA_DIR_HELP, DATA_HELP, Dataset, open_dataset
from scripts.features import add_feature_options, pick_features
from scripts.options import positive, real, whole
from scripts.options import seconds as seconds_option
from scripts.outputs import check_writable
from scripts.report.folder import check_folder
from scripts.rows import read_rows

if TYPE_CHECKING:
    import torch

    from models.training.ranks import Ranks

HELD_OUT = 0.2
MOST_QUERIES = 1000
MOST_COPIED = 500
PURPOSES = {"similar": "hashing", "duplicates": DUPLICATES}
MOST_ITEMS = {"similar": Config.sample, "duplicates": 10_000}
REPORTED_BITS = (16, 32, 64, 128, 256)


def main() -> None:
    """Parse the arguments, and do this process's part."""
    arguments = parse()
    config = Config(
        bits=arguments.bits,
        objective=arguments.objective or PURPOSES[arguments.purpose],
        epochs=arguments.epochs,
        hidden=arguments.hidden,
        tied=arguments.tied,
        start=arguments.start,
        sample=arguments.sample or MOST_ITEMS[arguments.purpose],
        seed=arguments.seed,
        device=arguments.device,
        weights=dict(arguments.weight),
        corruption=arguments.corruption,
        vector_noise=arguments.vector_noise,
    )
    if int(os.environ.get("RANK", "0")) > 0:
        follow(arguments, config)
        return
    data = open_dataset(arguments.data, arguments.data_dir)
    if arguments.modality is not None:
        data.require(arguments.modality)
    folder = next_folder(arguments.out, arguments.name or data.name)
    check_writable(arguments.out)
    if arguments.report is not None:
        check_writable(arguments.report.parent)
        check_folder(arguments.report)
    if arguments.purpose == "duplicates" and data.modality == "text" and arguments.encoder is None:
        arguments.extractor = arguments.extractor or NgramFeatures.name
    features = pick_features(data, arguments)
    # With PyTorch, seconds to import: what can be refused without it is refused by now.
    from models.training.ranks import joined

    with joined(set_up(arguments)) as ranks:
        lead(arguments, config, data, features, folder, ranks)


def set_up(arguments: argparse.Namespace) -> "torch.device":
    """PyTorch, as this process is to use it."""
    import torch

    from models.training.loop import pick_device

    torch.set_num_threads(arguments.threads)
    return pick_device(arguments.device)


def follow(arguments: argparse.Namespace, config: Config) -> None:
    """Train with the first process."""
    from models.training.candidates import Training, fit_again, train
    from models.training.ranks import joined

    with joined(set_up(arguments)) as ranks:
        training = Training(ranks)
        kept = train(None, config, training)
        for bits in lengths(arguments)[1:]:
            fit_again(kept.name, None, replace(kept.config, bits=bits), training)


def lead(
    arguments: argparse.Namespace, config: Config, data: Dataset, features: Features, folder: Path, ranks: "Ranks"
) -> None:
    """Read, train, measure, write, report."""
    from models.training.candidates import Kept, Saving, Training, fit_again, train
    from models.training.checkpoint import run_key
    from models.training.views import view_rows
    from scripts.training import export, progress_of, write_next

    rows, labels = read_rows(data, features, arguments.threads)
    parts = split(rows, labels, HELD_OUT, MOST_QUERIES, config.seed)

    started = time.monotonic()
    sha256 = fingerprint(parts.base)
    prefix = arguments.out / f".{folder.name.split('@')[0]}.{run_key(config, sha256)}"
    training = Training(
        ranks,
        Saving(prefix, arguments.checkpoint_seconds),
        progress_of(config.bits),
        lambda numbers: track(numbers, "neighbours"),
        lambda places: view_rows(
            features,
            documents_at(data, parts.base_numbers[places]),
            config.seed,
            vector_noise=config.vector_noise,
        ),
    )
    if not arguments.resume:
        training.saving.clear()
    elif not training.saving.files():
        raise InvalidInputError(f"expected a stopped run of this data and these options in {arguments.out}, found none")
    try:
        kept = train(parts.base, config, training)
    except KeyboardInterrupt:
        if training.saving.files():
            print("the same command with --resume goes on from here", file=sys.stderr)
        raise
    made = export(folder.name, features, kept)
    if ranks.count > 1:
        made.hasher.card["processes"] = ranks.count
    seconds = time.monotonic() - started
    evaluation = Evaluation(parts, track)
    card, name = made.hasher.card, config.objective
    encoders = {name: made.hasher.logits, **baselines(parts.base, config.bits)}
    table = evaluate(evaluation, encoders)
    copies = {}
    if name == DUPLICATES:
        # Other views than training saw, of items that it did not see.
        documents = documents_at(data, parts.query_numbers[:MOST_COPIED])
        views = np.concatenate(list(view_rows(features, documents, config.seed + 1, vector_noise=config.vector_noise)))
        copies = {each: at_rank_one(encode, parts.queries[: len(views)], views) for each, encode in encoders.items()}
        card["copies_at_rank_one"] = copies
    card["data"] = {"name": data.name, "items": len(parts.base), "sha256": sha256}
    # Of items that training did not see, as those to come are.
    card["fingerprint"] = asdict(take_fingerprint(made.hasher, parts.queries))
    card["metrics"] = {quality.name: asdict(quality) for quality in table}
    folder = write_next(arguments.out, card, made.files)
    training.saving.clear()

    terms = ", ".join(f"{term} {value:.4f}" for term, value in card["losses"].items())
    print(f"objective {name}, {config.bits} bits, {seconds:.0f} s; loss: {terms or 'not trained'}")
    trained_on = min(len(parts.base), config.sample)
    print(f"{len(parts.queries)} held-out queries against {len(parts.base)} items, {trained_on} trained on:")
    print_quality(table)
    if copies:
        shares = ", ".join(f"{each} {share:.4f}" for each, share in copies.items())
        print(f"Altered copies of held-out items whose original is at rank 1: {shares}.")
    for sentence in verdict(table):
        print(sentence)
    if kept.choice is not None:
        print(f"Kept of {len(kept.choice.scores)} candidates: {kept.name}; {kept.choice.why}.")
    print(f"wrote {folder}")
    if arguments.report is not None:
        from scripts.report.material import Material  # with matplotlib, a second to import
        from scripts.report.report import write_report

        by_bits: dict[int, list[Quality]] = {config.bits: table}
        for bits in lengths(arguments)[1:]:
            length = replace(kept.config, bits=bits)
            unsaved = replace(training, saving=Saving(), bar=progress_of(bits))
            fitted = Kept(kept.name, length, fit_again(kept.name, parts.base, length, unsaved), None)
            other = export(folder.name, features, fitted).hasher
            by_bits[bits] = evaluate(evaluation, {name: other.logits, **baselines(parts.base, bits)})
        material = Material(made.hasher, made.trained, parts, data, table, dict(sorted(by_bits.items())), seconds)
        print(f"wrote {write_report(arguments.report, material)}")


def documents_at(data: Dataset, numbers: NDArray[np.intp]) -> Iterator[Document]:
    """The documents of some items, in the order of their numbers, which rise; with a progress bar."""
    wanted = set(numbers.tolist())
    items = (item.document for number, item in enumerate(data.walk()) if number in wanted)
    yield from track(items, "views", len(wanted))


def lengths(arguments: argparse.Namespace) -> list[int]:
    """The code lengths that are trained, in their order: the one asked for, and those of the report."""
    others = REPORTED_BITS if arguments.report is not None else ()
    return [arguments.bits, *(bits for bits in others if bits != arguments.bits)]


def fingerprint(rows: Rows) -> str:
    """The sha256 of features (n, d), row by row."""
    digest = hashlib.sha256()
    for block in blocks(rows):
        digest.update(block.tobytes())
    return digest.hexdigest()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train", description=__doc__)
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--out", type=Path, required=True, help="directory for hasher folders")
    parser.add_argument("--modality", choices=MODALITIES, help="default: what DATA holds")
    parser.add_argument("--bits", type=whole, default=64, help="code length, a multiple of 8 (default 64)")
    parser.add_argument("--for", dest="purpose", choices=PURPOSES, default="similar", help="default similar")
    objectives = [name for name in OBJECTIVES if name != DUPLICATES]
    parser.add_argument("--objective", choices=objectives, help="default hashing")
    parser.add_argument("--name", help="name of the hasher (default: DATA's)")
    parser.add_argument(
        "--epochs", type=whole, help="passes over the items (default: 800 steps, fewer of few items; at least 2 passes)"
    )
    parser.add_argument(
        "--hidden", type=whole, help="hidden units; 0 for a linear network (default 512, of few items 256)"
    )
    parser.add_argument("--tied", action="store_true", help="the decoder has the encoder's weights, transposed")
    parser.add_argument("--start", choices=STARTS, default="pca-itq", help="of the network (default pca-itq)")
    parser.add_argument("--sample", type=positive, help="items trained on at most (100000, for duplicates 10000)")
    parser.add_argument("--seed", type=whole, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads; other numbers may change last digits")
    parser.add_argument("--weight", type=weight, action="append", default=[], metavar="TERM=W", help="may be repeated")
    parser.add_argument("--corruption", type=corruption, metavar="KIND=LEVEL", help="manifold=0.5, masking=0.3, ...")
    parser.add_argument(
        "--vector-noise",
        type=real,
        default=Config.vector_noise,
        help="of views of vectors (default 0.3)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was stopped; same options, same codes"
    )
    parser.add_argument(
        "--checkpoint-seconds", type=seconds_option, default=CHECKPOINT_SECONDS, help="between saves for --resume"
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page to look at; trains more code lengths")
    parser.add_argument("--data-dir", type=Path, help=DATA_DIR_HELP)
    add_feature_options(parser)
    arguments = parser.parse_args()
    if arguments.purpose == "duplicates" and (arguments.objective or arguments.corruption):
        parser.error("expected --for duplicates or an --objective and --corruption of your own, got both")
    return arguments


def weight(text: str) -> tuple[str, float]:
    """`term=0.5`."""
    term, _, value = text.partition("=")
    return term, real(value)


def corruption(text: str) -> Corruption:
    """`kind=0.5`."""
    kind, _, level = text.partition("=")
    try:
        return Corruption(kind, real(level))
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    run(main)

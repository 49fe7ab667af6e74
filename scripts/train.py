"""Train a hasher: DATA in, one new hasher folder out, and a table of how well it does."""

import argparse
import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from models.errors import InvalidInputError
from models.evaluation.baselines import baselines
from models.evaluation.quality import Evaluation, evaluate
from models.evaluation.split import split
from models.features import MODALITIES, Features
from models.features.image import ImageFeatures
from models.features.text import TextFeatures
from models.features.vector import SCALES, VectorFeatures
from models.folder import write_folder
from models.hasher import DECODER, ENCODER, Hasher
from models.training.config import STARTS, Config
from models.training.corruption import Corruption
from models.training.export import export_decoder, export_encoder
from models.training.loop import fit
from models.training.objectives import OBJECTIVES
from models.versions import next_folder
from scripts.console import print_quality, run, track
from scripts.datasets import Dataset, open_dataset
from scripts.rows import read_rows

HELD_OUT = 0.2
MOST_QUERIES = 1000
LARGEST_SIDE = 32


def main() -> None:
    """Parse the arguments, train, write, report."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    config = Config(
        bits=arguments.bits,
        objective=arguments.objective,
        epochs=arguments.epochs,
        hidden=arguments.hidden,
        start=arguments.start,
        seed=arguments.seed,
        device=arguments.device,
        weights=dict(arguments.weight),
        corruption=arguments.corruption,
    )
    data = open_dataset(arguments.data, arguments.data_dir)
    if arguments.modality not in (None, data.modality):
        raise InvalidInputError(f"expected {arguments.modality} items, got {data.modality} items from {data.name}")
    folder = next_folder(arguments.out, arguments.name or data.name)
    features = pick_features(data, arguments)
    rows, labels = read_rows(data, features)
    parts = split(rows, labels, HELD_OUT, MOST_QUERIES, config.seed)

    trained = fit(parts.base, config, track)
    encoder = export_encoder(trained.network, trained.projection)
    decoder = export_decoder(trained.network, trained.projection)
    name, version = folder.name.split("@")
    card = {
        "name": name,
        "version": int(version),
        "modality": features.modality,
        "bits": config.bits,
        "objective": config.objective,
        "features": features.settings(),
        "training": config.card(),
        "losses": trained.losses,
        "data": {"name": data.name, "items": len(parts.base), "sha256": hashlib.sha256(parts.base.data).hexdigest()},
    }
    hasher = Hasher(card, features, encoder, decoder)
    methods = {config.objective: hasher.logits, **baselines(parts.base, config.bits)}
    table = evaluate(parts, methods)
    card["metrics"] = {quality.name: asdict(quality) for quality in table}
    write_folder(folder, card, {ENCODER: encoder, DECODER: decoder, **features.files()})

    terms = ", ".join(f"{term} {value:.4f}" for term, value in trained.losses.items())
    print(f"objective {config.objective}, {config.bits} bits; loss: {terms or 'not trained'}")
    print(f"{len(parts.queries)} held-out queries against {len(parts.base)} items that were trained on:")
    print_quality(table)
    print(f"wrote {folder}")


def pick_features(data: Dataset, arguments: argparse.Namespace) -> Features:
    """Features for a dataset's modality; sizes that were not given are those of its first item."""
    if data.modality == "text":
        return TextFeatures.pretrained()
    first = next(data.walk()).document
    if data.modality == "vector":
        return VectorFeatures.like(first, arguments.scale)
    if arguments.size is not None:
        return ImageFeatures(arguments.size, arguments.size, arguments.image_mode or "RGB")
    if isinstance(first, np.ndarray) and max(first.shape[:2]) <= LARGEST_SIDE:
        height, width = first.shape[:2]
        return ImageFeatures(width, height, arguments.image_mode or ("L" if first.ndim == 2 else "RGB"))
    return ImageFeatures(LARGEST_SIDE, LARGEST_SIDE, arguments.image_mode or "RGB")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.train", description=__doc__)
    parser.add_argument("data", metavar="DATA", help="digits, pydocs, fashion-mnist, .npz, .ndjson, .jsonl or a folder")
    parser.add_argument("--out", type=Path, required=True, help="directory for hasher folders")
    parser.add_argument("--modality", choices=MODALITIES, help="default: what DATA holds")
    parser.add_argument("--bits", type=int, default=64, help="code length, a multiple of 8 (default 64)")
    parser.add_argument("--objective", choices=OBJECTIVES, default="hashing", help="default hashing")
    parser.add_argument("--name", help="name of the hasher (default: DATA's)")
    parser.add_argument("--epochs", type=int, help="passes over the items (default: what makes 800 steps, at least 1)")
    parser.add_argument("--hidden", type=int, default=512, help="hidden units; 0 for a linear network (default 512)")
    parser.add_argument("--start", choices=STARTS, default="pca-itq", help="of the network (default pca-itq)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads; other numbers may change last digits")
    parser.add_argument("--weight", type=weight, action="append", default=[], metavar="TERM=W", help="may be repeated")
    parser.add_argument("--corruption", type=corruption, metavar="KIND=LEVEL", help="masking=0.3, gaussian=0.5, ...")
    parser.add_argument("--scale", choices=SCALES, default="none", help="scaling of vectors (default none)")
    parser.add_argument("--size", type=int, help="side of images in pixels (default: their own up to 32)")
    parser.add_argument("--image-mode", choices=("L", "RGB"), help="grey or colour (default: the images' own)")
    parser.add_argument("--data-dir", type=Path, help="folder of the IDX files of fashion-mnist")
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def weight(text: str) -> tuple[str, float]:
    """`term=0.5`."""
    term, _, value = text.partition("=")
    return term, float(value)


def corruption(text: str) -> Corruption:
    """`kind=0.5`."""
    kind, _, level = text.partition("=")
    try:
        return Corruption(kind, float(level))
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    run(main)

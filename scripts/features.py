"""Features for a dataset: by its modality and the options, sizes by its first item where none were given."""

import argparse
from pathlib import Path

import numpy as np

from models.errors import InvalidInputError
from models.features import EXTRACTORS, Features
from models.features.encoder_folder import open_encoder
from models.features.ngrams import NgramFeatures, NgramSettings
from models.features.normalisation import CASES, Normalisation
from models.features.pixels import MODES, PixelFeatures
from models.features.static import StaticFeatures
from models.features.vector import SCALES, VectorFeatures
from scripts.datasets import Dataset
from scripts.options import whole

LARGEST_SIDE = 32
NAMES = tuple(dict.fromkeys(each.name for each in EXTRACTORS))


def add_feature_options(parser: argparse.ArgumentParser) -> None:
    """The options that `pick_features` reads."""
    parser.add_argument("--extractor", choices=NAMES, help="default: vector, pixels, static; encoder with --encoder")
    parser.add_argument("--encoder", type=Path, metavar="FOLDER", help="pretrained, made by scripts.encoder")
    parser.add_argument("--scale", choices=SCALES, default="none", help="scaling of vectors (default none)")
    parser.add_argument("--size", type=whole, help="side of images in pixels (default: their own up to 32)")
    parser.add_argument("--image-mode", choices=MODES, help="grey or colour (default: the images' own)")
    parser.add_argument("--case", choices=CASES, help="of letters in texts (default folded)")


def pick_features(data: Dataset, arguments: argparse.Namespace) -> Features:
    """Features for a dataset's modality; sizes that were not given are those of its first item."""
    name = arguments.extractor or ("encoder" if arguments.encoder is not None else _default(data.modality))
    known = [each.name for each in EXTRACTORS if each.modality == data.modality]
    if name not in known:
        raise InvalidInputError(f"expected an extractor for {data.modality} ({', '.join(known)}), got {name!r}")
    if (name == "encoder") != (arguments.encoder is not None):
        raise InvalidInputError(
            f"expected --encoder FOLDER with the extractor encoder, and with no other, got {name!r}"
        )
    match name:
        case "encoder":
            return _encoder(data, arguments)
        case "ngrams":
            return NgramFeatures(NgramSettings(normalisation=Normalisation(case=arguments.case or "folded")))
        case "static":
            return StaticFeatures.pretrained(Normalisation(case=arguments.case or "folded"))
        case "vector":
            return VectorFeatures.like(next(data.walk()).document, arguments.scale)
        case _:
            return _pixels(data, arguments)


def _default(modality: str) -> str:
    return {"vector": VectorFeatures.name, "image": PixelFeatures.name, "text": StaticFeatures.name}[modality]


def _encoder(data: Dataset, arguments: argparse.Namespace) -> Features:
    features = open_encoder(arguments.encoder)
    if features.modality != data.modality:
        raise InvalidInputError(
            f"expected an encoder of {data.modality}, {arguments.encoder} takes {features.modality}"
        )
    if arguments.case is not None:
        raise InvalidInputError("expected --case with static or ngrams, as an encoder's is in its folder, got both")
    return features


def _pixels(data: Dataset, arguments: argparse.Namespace) -> PixelFeatures:
    if arguments.size is not None:
        return PixelFeatures(arguments.size, arguments.size, arguments.image_mode or "RGB")
    first = next(data.walk()).document
    if isinstance(first, np.ndarray) and max(first.shape[:2]) <= LARGEST_SIDE:
        height, width = first.shape[:2]
        return PixelFeatures(width, height, arguments.image_mode or ("L" if first.ndim == 2 else "RGB"))
    return PixelFeatures(LARGEST_SIDE, LARGEST_SIDE, arguments.image_mode or "RGB")

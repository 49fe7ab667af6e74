"""Features for a dataset: by its modality, sizes by its first item where none were given."""

import argparse

import numpy as np

from models.features import Features
from models.features.normalisation import CASES, Normalisation
from models.features.pixels import MODES, PixelFeatures
from models.features.static import StaticFeatures
from models.features.vector import SCALES, VectorFeatures
from scripts.datasets import Dataset
from scripts.options import whole

LARGEST_SIDE = 32


def add_feature_options(parser: argparse.ArgumentParser) -> None:
    """The options that `pick_features` reads."""
    parser.add_argument("--scale", choices=SCALES, default="none", help="scaling of vectors (default none)")
    parser.add_argument("--size", type=whole, help="side of images in pixels (default: their own up to 32)")
    parser.add_argument("--image-mode", choices=MODES, help="grey or colour (default: the images' own)")
    parser.add_argument("--case", choices=CASES, default="folded", help="of letters in texts (default folded)")


def pick_features(data: Dataset, arguments: argparse.Namespace) -> Features:
    """Features for a dataset's modality; sizes that were not given are those of its first item."""
    if data.modality == "text":
        return StaticFeatures.pretrained(Normalisation(case=arguments.case))
    first = next(data.walk()).document
    if data.modality == "vector":
        return VectorFeatures.like(first, arguments.scale)
    if arguments.size is not None:
        return PixelFeatures(arguments.size, arguments.size, arguments.image_mode or "RGB")
    if isinstance(first, np.ndarray) and max(first.shape[:2]) <= LARGEST_SIDE:
        height, width = first.shape[:2]
        return PixelFeatures(width, height, arguments.image_mode or ("L" if first.ndim == 2 else "RGB"))
    return PixelFeatures(LARGEST_SIDE, LARGEST_SIDE, arguments.image_mode or "RGB")

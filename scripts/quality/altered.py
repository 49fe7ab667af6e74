"""Altered pictures: whether the original comes first among all pictures, by codes and by perceptual hashes.

Hashers train on other pictures than those that are altered. All pictures are searched among.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.codes import Codes, hamming, pack
from models.evaluation.baselines import Encode, baselines
from models.evaluation.metrics import precision_at, tie_groups
from models.features.pixels import PixelFeatures
from models.itq import principal_directions
from scripts.console import track
from scripts.quality.alterations import ALTERATIONS, encoded
from scripts.quality.learning import DUPLICATES, LEARNED, Learner
from scripts.quality.near_copies import NOT_INSTALLED
from scripts.quality.plan import Plan
from scripts.quality.results import Cell, Figures
from scripts.quality.rivals import picture_hashes
from scripts.quality.sources import extract, read_pictures

DATA = ("stamps", "fashion-mnist")
TRAIN_SHARE = 0.6
SIDE = 32

Picture = Image.Image
ToCodes = Callable[[list[Picture]], Codes]


def measure(part: str, plan: Plan) -> Iterator[list[Figures]]:
    """The cells of one collection of pictures, a seed each."""
    pictures = read_pictures(part.partition("/")[2])
    for seed in range(plan.seeds):
        cell = Cell(part, min(len(pictures), plan.collection), None, seed)
        if plan.wants(cell):
            yield list(_measure(cell, pictures, plan))


def _measure(cell: Cell, pictures: list[Picture], plan: Plan) -> Iterator[Figures]:
    rng = np.random.default_rng(cell.seed)
    searched = [pictures[place] for place in rng.permutation(len(pictures))[: plan.collection]]
    seen = round(TRAIN_SHARE * len(searched))
    unseen = seen + rng.permutation(len(searched) - seen)[: plan.altered]
    altered = {
        alteration.name: [alteration.apply(searched[place], rng) for place in unseen]
        for alteration in track(ALTERATIONS, "altering")
    }
    _, same = np.unique([picture.tobytes() for picture in searched], return_inverse=True)

    def figures(method: str, bits: int, codes: ToCodes, note: str = "", seconds: float = 0.0) -> Figures:
        started = time.monotonic()
        base = codes(searched)
        values = {
            name: first_places(hamming(codes(queries), base), same, unseen)
            for name, queries in track(altered.items(), method, len(altered))
        }
        return Figures(cell, method, bits, _averages(values), note, seconds or time.monotonic() - started)

    features = PixelFeatures(SIDE, SIDE, "RGB")
    documents = [encoded(picture) for picture in searched[:seen]]
    rows = extract(features, documents)
    learner, principal = Learner(features, rows, cell.seed, DUPLICATES, documents), principal_directions(rows)
    for bits in plan.bits:
        learned = learner.learn(bits)
        yield figures(LEARNED, bits, _encoder(features, learned.encode), learned.kept, learned.seconds)
        for name, encode in baselines(rows, bits, principal).items():
            yield figures(name, bits, _encoder(features, encode))
    for name, make in picture_hashes().items():
        if make is None:
            yield Figures(cell, name, 0, {}, NOT_INSTALLED)
        else:
            yield figures(name, len(make(searched[0])), _hasher(make))


def first_places(distances: NDArray[np.int32], same: NDArray[np.intp], originals: NDArray[np.intp]) -> float:
    """The mean probability that the original comes first, of distances (m, n) of altered pictures to all.

    `originals` (m,) are places; pictures with the same number in `same` (n,) are equal, and each is right. Of pictures
    at the same distance, each comes first equally often.
    """
    shares = [
        precision_at(tie_groups(row, same == same[place]), 1) for row, place in zip(distances, originals, strict=True)
    ]
    return float(np.mean(shares))


def _averages(values: dict[str, float]) -> dict[str, float]:
    kinds = {
        "all": [each.name for each in ALTERATIONS],
        "trained kinds": [each.name for each in ALTERATIONS if each.trained],
        "other kinds": [each.name for each in ALTERATIONS if not each.trained],
    }
    return {**{name: float(np.mean([values[each] for each in names])) for name, names in kinds.items()}, **values}


def _encoder(features: PixelFeatures, encode: Encode) -> ToCodes:
    def codes(pictures: list[Picture]) -> Codes:
        return pack(encode(np.stack([features.row(np.asarray(picture)) for picture in pictures])))

    return codes


def _hasher(make: Callable[[Picture], NDArray[np.bool_]]) -> ToCodes:
    def codes(pictures: list[Picture]) -> Codes:
        return pack(np.stack([make(picture) for picture in pictures]).astype(np.int8))

    return codes

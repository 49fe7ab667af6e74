"""Codes to search among, and queries, made from a seed: uniform bits, or clusters as the codes of real items form.

Clustered: 4,000 centres of uniform bits; an item, and likewise a query, is a centre drawn at random with each bit
flipped with probability 0.1. Two codes of a cluster then differ in 18 % of their bits, codes of two clusters in 50 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.codes import Codes
from scripts.benchmark.plan import Case, Plan

CENTRES = 4000
FLIPPED = 0.1
KINDS = ("uniform", "clustered")
BLOCK = 100_000


@dataclass(frozen=True)
class Sample:
    """Items (n, bits / 8) and queries (m, bits / 8), uint8; item i has the id `item-i`."""

    case: Case
    items: Codes
    queries: Codes


def draw(case: Case, plan: Plan, seed: int = 0) -> Sample:
    """Items, and queries drawn as the items are, but not from them."""
    rng = np.random.default_rng((seed, case.bits, KINDS.index(case.data)))
    total, width = plan.items + plan.queries, case.bits // 8
    if case.data == "uniform":
        codes = rng.integers(0, 256, (total, width), np.uint8)
    else:
        centres = rng.integers(0, 256, (CENTRES, width), np.uint8)
        codes = centres[rng.integers(0, CENTRES, total)]
        for start in range(0, total, BLOCK):
            block = codes[start : start + BLOCK]
            block ^= np.packbits(rng.random((len(block), case.bits), np.float32) < FLIPPED, axis=1)
    return Sample(case, codes[: plan.items], codes[plan.items :])


def item_id(place: int) -> str:
    """The id of the item at a place."""
    return f"item-{place}"


def place_of(item: str) -> int:
    """The place of the item with an id; the inverse of `item_id`."""
    return int(item.removeprefix("item-"))


def lines(codes: Codes, first: int = 0) -> Iterator[bytes]:
    """The items as NDJSON, without ends of lines, the first having the id `item-{first}`."""
    width, digits = codes.shape[1] * 2, codes.tobytes().hex()
    for place in range(len(codes)):
        code = digits[place * width : (place + 1) * width]
        yield f'{{"id":"{item_id(first + place)}","code":"{code}"}}'.encode()

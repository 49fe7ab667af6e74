"""What a run of the benchmark measures."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.quality.results import Cell

SIZES = [500, 2000, 20_000, 100_000]
BITS = [32, 64, 128, 256]
SEEDS = 3


@dataclass(frozen=True)
class Plan:
    """Sizes of base and code lengths, how many seeds, queries and copies, and where features are kept between runs."""

    cache: Path
    encoders: Path
    sizes: list[int] = field(default_factory=lambda: list(SIZES))
    bits: list[int] = field(default_factory=lambda: list(BITS))
    seeds: int = SEEDS
    queries: int = 1000
    copies: int = 200
    altered: int = 100
    collection: int = 3000
    wants: Callable[[Cell], bool] = lambda cell: True


def quick(plan: Plan) -> Plan:
    """The same in minutes: one seed, two sizes, one length, fewer queries."""
    return replace(plan, sizes=plan.sizes[:2], bits=[64], seeds=1, queries=200, copies=100, altered=30, collection=1000)

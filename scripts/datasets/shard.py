"""Shards: DATA cut into parts of one order, so that several machines each do one."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from scripts.datasets.dataset import Dataset, Item

SHARD_HELP = "do the I-th of N parts of DATA, 1/N to N/N, which together are all of it"
WRITTEN = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, counted from 1; its text is `2/8`."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def bounds(self, size: int) -> tuple[int, int]:
        """Where the part starts and stops in a row of `size`: parts follow one another and differ by one at most."""
        return size * (self.number - 1) // self.count, size * self.number // self.count

    def name(self, path: Path) -> Path:
        """The part's own file beside that of the whole, `codes-02-of-16.npy`: in order of names, in order of parts."""
        if self.count == 1:
            return path
        number = str(self.number).zfill(len(str(self.count)))
        return path.with_name(f"{path.stem}-{number}-of-{self.count}{path.suffix}")


WHOLE = Shard()


def add_shard_option(parser: argparse.ArgumentParser) -> None:
    """The option `--shard`."""
    parser.add_argument("--shard", type=shard, default=WHOLE, metavar="I/N", help=SHARD_HELP)


def shard(text: str) -> Shard:
    """`2/8`."""
    written = WRITTEN.fullmatch(text)
    number, count = (int(written[1]), int(written[2])) if written else (0, 0)
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, as 2/8, got {text!r}")
    return Shard(number, count)


def take(data: Dataset, part: Shard) -> Dataset:
    """A part of a dataset that can be walked from its start only: what lies before is passed over."""
    if part == WHOLE:
        return data
    start, stop = part.bounds(data.size)

    def walk() -> Iterator[Item]:
        return islice(data.walk(), start, stop)

    return replace(data, size=stop - start, walk=walk, test=0, array=None, labels=None, checksum=None)

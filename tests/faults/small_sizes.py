"""Sizes so small that few items reach what takes millions elsewhere, and a count of how often each was reached."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import service.index.collection
import service.index.flat
import service.index.scans
import service.index.snapshot
import service.search.matching
import service.store.reader
import service.store.statements
import service.store.writer
from service.index.collection import CollectionIndex
from service.index.flat import Compacted, FlatIndex
from service.index.follower import Follower
from service.index.ivf import Ivf
from service.index.snapshot import Snapshot
from service.search.matching import Kept, Key, Matching
from service.store.reader import Reader

REMOVALS_KEPT = 40
SIZES: list[tuple[Any, str, float]] = [
    (service.index.flat, "FIRST_CAPACITY", 16),
    (service.index.flat, "COMPACT_FROM", 4),
    (service.index.flat, "ORDER_FROM", 8),
    (service.index.collection, "REBUILD_FROM", 40),
    (service.index.snapshot, "MOST_AT_ONCE", 100),
    (service.index.scans, "COUNTING_FROM", 12),
    (service.index.scans, "LEAST_BYTES", 64),
    (service.index.scans, "PART_BYTES", 32),
    (service.search.matching, "KEPT_FILTERS", 4),
    (service.search.matching, "KEPT_SEQUENCES", 300),
    (service.search.matching, "FORGET_FROM", 0),
    (service.search.matching, "FEW", 0.15),
    (service.search.matching, "READ_AT_ONCE", 60),
    (service.search.matching, "PASSED_OVER", 1),
    (service.store.reader, "FEW", 5),
    (service.store.reader, "BLOCK_ROWS", 20),
    (service.store.statements, "REMOVALS_KEPT", REMOVALS_KEPT),
]
# What runs in the background takes as long as a few writes, so that they come while it does.
UPKEEP_SECONDS = 0.01
FORGOTTEN, GIVEN_UP = "forgotten by a filter", "IVF given up"
# The first in one of four runs of 40 examples not once.
RARE = (FORGOTTEN, GIVEN_UP)
REACHED = (
    "compacted",
    "removed while it was compacted",
    "ordered",
    "IVF built",
    "IVF built anew",
    "IVF searched",
    GIVEN_UP,
    "read anew",
    "arrays grown",
    "ties beyond the room for them",
    "ties of many by id",
    "filter answered from the nearest",
    "filter read in full",
    "filter read further",
    "filter read by ids",
    FORGOTTEN,
    "few let through",
)


def make_small(patch: pytest.MonkeyPatch) -> Counter[str]:
    """Make the sizes small until `patch` is undone; returns the counts, by the names in REACHED, as they go on."""
    reached: Counter[str] = Counter()
    for module, name, value in SIZES:
        assert hasattr(module, name)
        patch.setattr(module, name, value)

    def count(owner: Any, name: str, noted: Callable[..., str | None]) -> None:
        """`noted` is called before each call, with its arguments, and says what is reached by it."""
        real = getattr(owner, name)

        def counted(*arguments: Any, **keywords: Any) -> Any:
            if what := noted(*arguments):
                reached[what] += 1
            return real(*arguments, **keywords)

        patch.setattr(owner, name, counted)

    def note_removed(index: FlatIndex, compacted: Compacted) -> str | None:
        died = index._columns.died[compacted.rows] != service.index.flat.ALIVE
        return "removed while it was compacted" if died.any() else None

    def slow(*_: Any) -> None:
        time.sleep(UPKEEP_SECONDS)

    count(service.index.collection, "compact", slow)
    count(Reader, "by_id", slow)
    count(FlatIndex, "adopt", lambda *_: "compacted")
    count(FlatIndex, "adopt", note_removed)
    count(FlatIndex, "order", lambda _, by_id, last: "ordered" if len(by_id) else None)
    count(service.index.flat, "_copied", lambda *_: "arrays grown")
    count(service.index.collection, "_build", lambda *given: "IVF built anew" if given[2] else "IVF built")
    count(Ivf, "nearest", lambda *_: "IVF searched")
    count(
        CollectionIndex,
        "_build_ivf",
        lambda index, *_: GIVEN_UP if index._wants_ivf_no_more() else None,
    )
    count(Snapshot, "within", lambda *_: "ties beyond the room for them")
    count(Snapshot, "among", lambda *_: "few let through")
    count(
        Follower,
        "_apply",
        lambda follower, changes: "read anew" if changes.anew and follower._position.sequence else None,
    )
    count(service.search.matching, "Scan", lambda *given: "filter read by ids" if given[3] else None)
    count(service.store.reader, "_first_of_many", lambda *_: "ties of many by id")
    count(service.search.matching, "Scan", lambda *given: "filter read further" if given[2] else "filter read in full")
    among_the_nearest, living = Matching._among_the_nearest, Matching._living

    def counted(*arguments: Any) -> Any:
        found = among_the_nearest(*arguments)
        reached["filter answered from the nearest"] += found is not None
        return found

    def counted_living(self: Matching, key: Key, kept: Kept, later: Snapshot) -> Any:
        left = living(self, key, kept, later)
        reached[FORGOTTEN] += len(left) < len(kept.sequences)
        return left

    patch.setattr(Matching, "_among_the_nearest", counted)
    patch.setattr(Matching, "_living", counted_living)
    return reached

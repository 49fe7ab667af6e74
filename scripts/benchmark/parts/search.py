"""Exact search of a collection in this process, without HTTP, beside the bare FAISS call, in turns."""

import time
from collections.abc import Callable
from typing import Any

from models.codes import Codes
from scripts.benchmark import library, raw, verify
from scripts.benchmark.codes import Sample
from scripts.benchmark.figures import Figures, median_ms, median_ratio
from scripts.benchmark.plan import Plan
from scripts.benchmark.turns import TURN, timed
from service.collections.collections import Collections

PART = "search"
COLLECTION = "flat"
MOST_RATIO = 1.2
WARM_UP = 10
# What the index does in the background after a million writes (it orders their ids) is not what is measured.
SETTLE_SECONDS = 3.0
BY_BRUTE_FORCE = 3


def measure(collections: Collections, sample: Sample, plan: Plan, figures: Figures) -> None:
    """Turns of some searches each, so that noise hits both alike; which comes first alternates.

    Not query by query: the bare call scans codes of its own, so that after it every byte that a search looks at would
    come from memory, as it does nowhere else: 0.29 ms for what takes 0.14 ms after a scan of the collection's codes.
    """
    index = raw.flat(sample.items)
    library.search(collections, COLLECTION, sample.queries[0].tobytes().hex())
    time.sleep(SETTLE_SECONDS)
    calls: list[Callable[[Codes], Any]] = [
        lambda query: raw.search(index, query),
        lambda query: library.search(collections, COLLECTION, query.tobytes().hex()),
    ]
    for call in calls:
        timed(call, sample.queries[:WARM_UP])
    bare: list[float] = []
    ours: list[float] = []
    for start in range(0, len(sample.queries), TURN):
        queries = sample.queries[start : start + TURN]
        times = (bare, ours)
        answers: list[list[Any]] = [[], []]
        for which in (0, 1) if start // TURN % 2 else (1, 0):
            answers[which], seconds = timed(calls[which], queries)
            times[which].extend(seconds)
        for number, (query, (distances, _), found) in enumerate(zip(queries, *answers, strict=True), start):
            verify.check_exact(sample.items, query, found, distances, "the collection")
            if number < BY_BRUTE_FORCE:
                verify.check_brute_force(sample.items, query, found, "the collection")
    figures.add(PART, sample.case, "raw FAISS, ms", median_ms(bare))
    figures.add(PART, sample.case, "collection, ms", median_ms(ours))
    figures.add(PART, sample.case, "ratio of medians", median_ms(ours) / median_ms(bare), most=MOST_RATIO)
    figures.add(PART, sample.case, "median of ratios", median_ratio(ours, bare), most=MOST_RATIO)

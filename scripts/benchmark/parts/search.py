"""Exact search of a collection in this process, without HTTP, beside the bare FAISS call, query by query."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from scripts.benchmark import library, raw, verify
from scripts.benchmark.codes import Sample
from scripts.benchmark.figures import Figures, median_ms, median_ratio
from scripts.benchmark.plan import Plan
from service.collections import Collections

PART = "search"
COLLECTION = "flat"
MOST_RATIO = 1.2
WARM_UP = 10
# What the index does in the background after a million writes (it orders their ids) is not what is measured.
SETTLE_SECONDS = 3.0
BY_BRUTE_FORCE = 3


def measure(collections: Collections, sample: Sample, plan: Plan, figures: Figures) -> None:
    """One search each in turn, so that noise hits both alike; which comes first alternates."""
    index = raw.flat(sample.items)
    library.search(collections, COLLECTION, sample.queries[0].tobytes().hex())
    time.sleep(SETTLE_SECONDS)
    bare: list[float] = []
    ours: list[float] = []
    for number, query in enumerate([*sample.queries[:WARM_UP], *sample.queries]):
        code = query.tobytes().hex()
        calls: list[tuple[list[float], Callable[[], Any]]] = [
            (bare, partial(raw.search, index, query)),
            (ours, partial(library.search, collections, COLLECTION, code)),
        ]
        answers = {}
        for times, call in calls if number % 2 else calls[::-1]:
            began = time.perf_counter()
            answers[call] = call()
            taken = time.perf_counter() - began
            if number >= WARM_UP:
                times.append(taken)
        (distances, _), found = (answers[call] for _, call in calls)
        verify.check_exact(sample.items, query, found, distances, "the collection")
        if number < BY_BRUTE_FORCE:
            verify.check_brute_force(sample.items, query, found, "the collection")
    figures.add(PART, sample.case, "raw FAISS, ms", median_ms(bare))
    figures.add(PART, sample.case, "collection, ms", median_ms(ours))
    figures.add(PART, sample.case, "ratio of medians", median_ms(ours) / median_ms(bare), most=MOST_RATIO)
    figures.add(PART, sample.case, "median of ratios", median_ratio(ours, bare), most=MOST_RATIO)

"""All near-duplicates of a collection over HTTP: how long it takes, and what searches take meanwhile."""

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from models.codes import Codes
from scripts.benchmark import library, verify
from scripts.benchmark.client import Client, content_of, search_request
from scripts.benchmark.codes import Sample, item_id, place_of
from scripts.benchmark.figures import Figures, median_ms, percentile_ms
from scripts.benchmark.plan import K, Plan
from scripts.benchmark.process import Service
from scripts.benchmark.streaming import exchange_stream

PART = "duplicates"
COLLECTION = "duplicated"
DISTANCES = (0, 2, 4, 8)
PLANTED = 0.01
FARTHEST = 8
MOST_SECONDS = 120
MOST_MB = 1000


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """One item in a hundred is a copy of another with up to 8 bits flipped: each has to be found."""
    codes, planted = plant(sample.items)
    with library.opened(data) as collections:
        library.create(collections, COLLECTION, sample.case.bits)
        library.fill(collections, COLLECTION, codes)
    for distance in DISTANCES:
        # Each in a process of its own, so that memory is that of one request.
        with Service(data) as service, Client(service.port) as client:
            search = search_request(COLLECTION, sample.queries[0].tobytes(), limit=K)
            content_of(client.exchange(search))
            before = service.resident_bytes()
            times, most, seconds, groups = _find(service, client, search, distance)
        check(codes, planted, groups, distance)
        case, name = sample.case, f"distance {distance}"
        figures.add(PART, case, f"{name}, s", seconds, most=MOST_SECONDS)
        figures.add(PART, case, f"{name}, groups", len(groups))
        figures.add(PART, case, f"{name}, MB more", max(0, most - before) / 1e6, most=MOST_MB)
        figures.add(PART, case, f"{name}, searches meanwhile, median, ms", median_ms(times))
        figures.add(PART, case, f"{name}, searches meanwhile, p99, ms", percentile_ms(times, 99))


def plant(items: Codes) -> tuple[Codes, dict[int, tuple[int, int]]]:
    """Items with copies in place of some; for each of these what it is a copy of, and how many bits are flipped."""
    rng = np.random.default_rng(4)
    codes, number = items.copy(), max(1, int(len(items) * PLANTED))
    chosen = rng.choice(len(items), 2 * number, replace=False)
    flips = rng.integers(0, FARTHEST + 1, number)
    planted = {}
    for copy, original, flipped in zip(chosen[:number].tolist(), chosen[number:].tolist(), flips.tolist(), strict=True):
        codes[copy] = codes[original]
        bits = rng.choice(codes.shape[1] * 8, flipped, replace=False)
        np.bitwise_xor.at(codes[copy], bits // 8, (1 << bits % 8).astype(np.uint8))
        planted[copy] = (original, flipped)
    return codes, planted


def check(codes: Codes, planted: dict[int, tuple[int, int]], groups: list[dict[str, Any]], distance: int) -> None:
    """Raise WrongAnswerError unless distances are true, groups in order, and every planted pair in one group."""
    firsts = [group["items"][0]["id"] for group in groups]
    verify.require(all(one < other for one, other in pairwise(firsts)), "expected groups in the order of first ids")
    listed = [(place_of(item["id"]), item["of"], item["distance"]) for group in groups for item in group["items"]]
    places = np.array([place for place, _, _ in listed], np.int64)
    verify.require(len(np.unique(places)) == len(places), "expected each item in one group")
    of = np.array([place if other is None else place_of(other) for place, other, _ in listed], np.int64)
    told = np.array([apart for _, _, apart in listed], np.int64)
    true = np.bitwise_count(codes[places] ^ codes[of]).sum(axis=1, dtype=np.int64)
    right = np.array_equal(told, true) and bool((told <= distance).all())
    verify.require(right, "expected true distances of duplicates")
    group_of = {item["id"]: group["group"] for group in groups for item in group["items"]}
    for copy, (original, flipped) in planted.items():
        if flipped <= distance:
            one, other = (group_of.get(item_id(place)) for place in (copy, original))
            verify.require(one is not None and one == other, f"expected {copy} in the group of {original}")


def _find(
    service: Service, client: Client, search: bytes, distance: int
) -> tuple[list[float], int, float, list[dict[str, Any]]]:
    """Seconds of searches meanwhile, the most bytes resident, seconds of the request, and its groups."""
    groups: list[dict[str, Any]] = []
    taken: list[float] = []

    def ask() -> None:
        began = time.perf_counter()
        body = exchange_stream(service.port, f"/v1/collections/{COLLECTION}/duplicates", {"max_distance": distance})
        taken.append(time.perf_counter() - began)
        groups.extend(map(orjson.loads, body.splitlines()))

    asking = threading.Thread(target=ask)
    asking.start()
    times: list[float] = []
    most = 0
    while asking.is_alive() or not times:
        began = time.perf_counter()
        content_of(client.exchange(search))
        times.append(time.perf_counter() - began)
        most = max(most, service.resident_bytes())
        time.sleep(0.02)
    asking.join()
    verify.require(bool(taken), "expected the groups of near-duplicates, got an error")
    return times, most, taken[0], groups

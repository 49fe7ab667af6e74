"""Deleting items one at a time over HTTP, and what searching costs before, meanwhile and after compaction."""

import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from scripts.benchmark import raw, verify
from scripts.benchmark.client import Client, content_of, request, search_request
from scripts.benchmark.codes import Sample, item_id, place_of
from scripts.benchmark.figures import Figures, median_ms, percentile_ms
from scripts.benchmark.parts.search import COLLECTION, WARM_UP
from scripts.benchmark.plan import K, Plan
from scripts.benchmark.process import Service

PART = "deletes"
MOST_MS = 2.0
MOST_SLOWER = 1.1
COMPACTION_SECONDS = 5.0
MOST_IDS = 10_000
LOOK_PAST = 20
PACED = 100
# Of searches: seconds over HTTP, and of the raw call.
Times = list[tuple[float, float]]


class Searches:
    """Searches over HTTP, each beside a raw one of all items, so that a phase is compared with the one before."""

    def __init__(self, sample: Sample, deleted: set[int]) -> None:
        self._sample = sample
        self._deleted = deleted
        self._index: faiss.IndexBinaryFlat = raw.flat(sample.items)
        self._requests = [search_request(COLLECTION, query.tobytes(), limit=K) for query in sample.queries]

    def one(self, client: Client, number: int) -> tuple[float, float]:
        """Seconds of one search over HTTP and of the raw one; the answer is verified."""
        place = number % len(self._requests)
        query = self._sample.queries[place]
        began = time.perf_counter()
        raw.search(self._index, query)
        between = time.perf_counter()
        reply = client.exchange(self._requests[place])
        done = time.perf_counter()
        self._verify(query, verify.matches(content_of(reply)["results"]))
        return done - between, between - began

    def all(self, client: Client) -> Times:
        """One of each query, after a few that do not count."""
        for number in range(WARM_UP):
            self.one(client, number)
        return [self.one(client, number) for number in range(len(self._requests))]

    def _verify(self, query: np.ndarray, found: verify.Found) -> None:
        gone = [item for item, _ in found if place_of(item) in self._deleted]
        verify.require(not gone, f"expected no item that was deleted, got {gone}")
        k = K
        while True:
            k = min(k * LOOK_PAST, len(self._sample.items))
            distances, places = raw.search(self._index, query, k)
            alive = [place not in self._deleted for place in places.tolist()]
            if sum(alive) >= K or k == len(self._sample.items):
                break
        true = distances[np.asarray(alive)][:K]
        verify.check_exact(self._sample.items, query, found, true, "the service with deleted items")


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """Searches before, between deletes, over the dead rows, and after compaction.

    Compaction waits for more dead rows than these: as many again are deleted at once. Where that is not enough either,
    as among few items, a restart compacts.
    """
    chosen = np.random.default_rng(2).choice(plan.items, 2 * plan.deletes, replace=False).tolist()
    chosen, more = chosen[: plan.deletes], chosen[plan.deletes :]
    deleted: set[int] = set()
    searches = Searches(sample, deleted)
    every = max(1, plan.deletes // plan.queries)

    def delete(client: Client, place: int) -> None:
        done = content_of(client.exchange(request("DELETE", f"/v1/collections/{COLLECTION}/items/{item_id(place)}")))
        verify.require(done == {"deleted": 1}, f"expected one item to be deleted, got {done}")
        deleted.add(place)

    with Service(data) as service, Client(service.port) as client:
        before = searches.all(client)
        # At the pace of the deletes: what lies idle for a while is slower, deletes or not.
        _, paced = _alternate(client, searches, chosen[: every * PACED], every, _look_up)
        times, between = _alternate(client, searches, chosen, every, delete)
        dead = _dead(client)
        with_dead = searches.all(client)
        seconds = _compact(client, more)
        deleted.update(more)
        after = [] if seconds is None else searches.all(client)
    if seconds is None:
        with Service(data) as service, Client(service.port) as client:
            after = searches.all(client)
    case = sample.case
    figures.add(PART, case, "one delete, median, ms", median_ms(times), most=MOST_MS)
    figures.add(PART, case, "one delete, p99, ms", percentile_ms(times, 99))
    figures.add(PART, case, "dead rows after the last delete", dead)
    if seconds is not None:
        figures.add(PART, case, "compaction, s", seconds)
    figures.add(PART, case, "search before, ms", _ours(before))
    figures.add(PART, case, "search between look-ups, ms", _ours(paced))
    for name, phase, beside in (
        ("between deletes", between, paced),
        ("over dead rows", with_dead, before),
        ("after compaction", after, before),
    ):
        figures.add(PART, case, f"search {name}, ms", _ours(phase))
        slower = _relative(phase) / _relative(beside)
        figures.add(PART, case, f"search {name}, times before", slower, most=MOST_SLOWER)


def _alternate(
    client: Client, searches: Searches, places: list[int], every: int, call: Callable[[Client, int], None]
) -> tuple[list[float], Times]:
    """Seconds of a call for each place, and of the searches, one after every so many calls."""
    times: list[float] = []
    found: Times = []
    for number, place in enumerate(places):
        began = time.perf_counter()
        call(client, place)
        times.append(time.perf_counter() - began)
        if number % every == 0:
            found.append(searches.one(client, number))
    return times, found


def _look_up(client: Client, place: int) -> None:
    content_of(client.exchange(request("GET", f"/v1/collections/{COLLECTION}/items/{item_id(place)}")))


def _compact(client: Client, more: list[int]) -> float | None:
    """Delete more at once; seconds until no dead row is left, None where that does not come about."""
    for start in range(0, len(more), MOST_IDS):
        ids = [item_id(place) for place in more[start : start + MOST_IDS]]
        done = client.call("POST", f"/v1/collections/{COLLECTION}/delete", {"ids": ids})
        verify.require(done == {"deleted": len(ids)}, f"expected {len(ids)} items to be deleted, got {done}")
    began = time.perf_counter()
    while time.perf_counter() < began + COMPACTION_SECONDS:
        if _dead(client) == 0:
            return time.perf_counter() - began
        time.sleep(0.005)
    return None


def _dead(client: Client) -> int:
    return int(client.call("GET", f"/v1/collections/{COLLECTION}/stats")["removed"])


def _ours(phase: Times) -> float:
    return median_ms([ours for ours, _ in phase])


def _relative(phase: Times) -> float:
    """Of a phase, searches over HTTP in terms of raw ones: what slows the machine slows both."""
    return _ours(phase) / median_ms([bare for _, bare in phase])

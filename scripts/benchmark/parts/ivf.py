"""Approximate search over HTTP by an IVF index, its recall@10, and FAISS's own with the same lists and probes."""

import statistics
import time
from pathlib import Path
from typing import Any

import faiss
import orjson

from models.errors import HammingwayError
from scripts.benchmark import library, raw, verify
from scripts.benchmark.client import Client, content_of, request, search_request
from scripts.benchmark.codes import Sample
from scripts.benchmark.figures import Figures, median_ms
from scripts.benchmark.load import Load, load
from scripts.benchmark.parts.search import WARM_UP
from scripts.benchmark.plan import CLIENT_PROCESSES, CLIENTS, K, Plan
from scripts.benchmark.process import Service

PART = "ivf"
COLLECTION = "ivf"
LEAST_RECALL = 0.95
LEAST_PER_CORE = 2500
QUERIES_A_REQUEST = 100
BUILD_SECONDS = 180
FEW_ITEMS = 50_000


class NotBuiltError(HammingwayError):
    """The index was not there in time."""

    title = "Not built"


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """Build, then recall, one client, sixteen clients with one query a request and with many."""
    with Service(data) as service:
        with Client(service.port) as client:
            client.call("PUT", f"/v1/collections/{COLLECTION}", {"bits": sample.case.bits, "index": _index(plan)})
        with library.opened(data) as collections:
            library.fill(collections, COLLECTION, sample.items)
        with Client(service.port) as client:
            built = _wait_until_built(client, plan.items)
        exact = raw.flat(sample.items)
        tenths = [int(raw.search(exact, query)[0][-1]) for query in sample.queries]
        bare = raw.ivf(sample.items, built["lists"], built["probes"])
        figures.add(PART, sample.case, "lists", built["lists"])
        figures.add(PART, sample.case, "probes", built["probes"])
        figures.add(PART, sample.case, "build, s", built["seconds"])
        # A connection of its own: one that rests for seconds is closed by the service.
        with Client(service.port) as client:
            _one_client(client, bare, tenths, sample, figures)
        _one_query_a_request(service, bare, sample, plan, figures)
        _many_queries_a_request(service, sample, plan, figures)


def _index(plan: Plan) -> dict[str, Any]:
    # Left to itself the service searches few items exactly: with lists of a hundred it does as for many.
    return {"kind": "ivf", "lists": max(2, plan.items // 100)} if plan.items < FEW_ITEMS else {"kind": "ivf"}


def _wait_until_built(client: Client, items: int) -> dict[str, Any]:
    began = time.perf_counter()
    while time.perf_counter() < began + BUILD_SECONDS:
        stats = client.call("GET", f"/v1/collections/{COLLECTION}/stats")
        index: dict[str, Any] = stats["index"]
        if stats["count"] == items and index["state"] == "ready" and index["indexed"] == items:
            return {**index, "seconds": time.perf_counter() - began}
        time.sleep(0.02)
    raise NotBuiltError(f"expected an IVF index of {items} items within {BUILD_SECONDS} s, got {stats}")


def _one_client(
    client: Client, bare: faiss.IndexBinaryIVF, tenths: list[int], sample: Sample, figures: Figures
) -> None:
    requests = [search_request(COLLECTION, query.tobytes(), limit=K) for query in sample.queries]
    ours: list[float] = []
    theirs: list[float] = []
    recalls: list[float] = []
    bare_recalls: list[float] = []
    for prepared in requests[:WARM_UP]:
        client.exchange(prepared)
    for query, prepared, tenth in zip(sample.queries, requests, tenths, strict=True):
        began = time.perf_counter()
        distances, _ = raw.search(bare, query)
        between = time.perf_counter()
        reply = client.exchange(prepared)
        ours.append(time.perf_counter() - between)
        theirs.append(between - began)
        found = _verified(content_of(reply)["results"], sample, query)
        recalls.append(verify.recall([distance for _, distance in found], tenth))
        bare_recalls.append(verify.recall(distances.tolist(), tenth))
    case = sample.case
    figures.add(PART, case, "recall@10", statistics.mean(recalls), least=LEAST_RECALL)
    figures.add(PART, case, "raw FAISS IVF, recall@10", statistics.mean(bare_recalls))
    figures.add(PART, case, "raw FAISS IVF, ms", median_ms(theirs))
    figures.add(PART, case, "one client, ms", median_ms(ours))


def _one_query_a_request(
    service: Service, bare: faiss.IndexBinaryIVF, sample: Sample, plan: Plan, figures: Figures
) -> None:
    requests = [search_request(COLLECTION, query.tobytes(), limit=K) for query in sample.queries]
    alone, loads = [], []
    for _ in range(plan.rounds):
        alone.append(raw.per_second(bare, sample.queries, 1, plan.seconds))
        loads.append(load(service.process, service.port, requests, CLIENTS, CLIENT_PROCESSES, plan.seconds))
    for seen in loads:
        for place, results in verify.replies(seen):
            _verified(results, sample, sample.queries[place])
    figures.add(PART, sample.case, "raw FAISS IVF, 1 thread, searches/s", statistics.median(alone))
    _add_load(f"{CLIENTS} clients, 1 query a request", loads, 1, sample, figures)


def _many_queries_a_request(service: Service, sample: Sample, plan: Plan, figures: Figures) -> None:
    starts = range(0, len(sample.queries), QUERIES_A_REQUEST)
    codes = [{"code": query.tobytes().hex()} for query in sample.queries]
    requests = [
        request(
            "POST",
            f"/v1/collections/{COLLECTION}/search",
            orjson.dumps({"queries": codes[start : start + QUERIES_A_REQUEST], "limit": K}),
        )
        for start in starts
    ]
    # One long load: a request takes a good part of a second where sixteen wait for one another.
    seconds = plan.seconds * plan.rounds
    loads = [load(service.process, service.port, requests, CLIENTS, CLIENT_PROCESSES, seconds)]
    for seen in loads:
        for place, results in verify.replies(seen):
            for query, found in zip(sample.queries[starts[place] :], results, strict=False):
                _verified(found, sample, query)
    _add_load(f"{CLIENTS} clients, {QUERIES_A_REQUEST} queries a request", loads, QUERIES_A_REQUEST, sample, figures)


def _add_load(name: str, loads: list[Load], queries: int, sample: Sample, figures: Figures) -> None:
    case = sample.case
    figures.add(PART, case, f"{name}, searches/s", statistics.median(each.per_second * queries for each in loads))
    cores = statistics.median(each.per_second / each.per_core for each in loads)
    figures.add(PART, case, f"{name}, cores of the service", cores)
    per_core = statistics.median(each.per_core * queries for each in loads)
    figures.add(PART, case, f"{name}, searches/s a core", per_core, least=LEAST_PER_CORE)


def _verified(results: list[dict[str, Any]], sample: Sample, query: Any) -> verify.Found:
    found = verify.matches(results)
    verify.check_approximate(sample.items, query, found, "the service")
    return found

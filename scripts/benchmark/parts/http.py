"""Exact search over HTTP beside raw FAISS: one client in turn with the bare call, sixteen against as many threads."""

import statistics
from pathlib import Path

import faiss

from scripts.benchmark import raw, verify
from scripts.benchmark.awake import awake
from scripts.benchmark.client import Client, content_of, request, search_request
from scripts.benchmark.codes import Sample
from scripts.benchmark.figures import Figures, median_ms, percentile_ms
from scripts.benchmark.load import Load, load
from scripts.benchmark.machine import cores
from scripts.benchmark.parts.search import COLLECTION, WARM_UP
from scripts.benchmark.plan import CLIENT_PROCESSES, CLIENTS, K, Plan
from scripts.benchmark.process import Bare, Service
from scripts.benchmark.turns import TURN, timed

PART = "http"
MOST_ADDED_MS = 0.6
LEAST_SHARE = 0.85


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """The service with one search thread, and with one for each core."""
    index = raw.flat(sample.items)
    requests = [search_request(COLLECTION, query.tobytes(), limit=K) for query in sample.queries]
    for threads in sorted({1, cores()}):
        with Service(data, "--threads", str(threads)) as service:
            if threads == cores():
                _one_client(service, index, requests, sample, figures)
            _many_clients(service, index, requests, sample, plan, threads, figures)
    _server_alone(data, requests, sample, plan, figures)


def _server_alone(data: Path, requests: list[bytes], sample: Sample, plan: Plan, figures: Figures) -> None:
    """What any service in Python can reach: uvicorn itself, with an application that does nothing."""
    with Bare(data.parent) as server:
        alone = load(server.process, server.port, requests, CLIENTS, CLIENT_PROCESSES, plan.seconds)
    verify.replies(alone)
    figures.add(PART, sample.case, f"uvicorn alone, {CLIENTS} clients, replies/s a core", alone.per_core)


def _one_client(
    service: Service, index: faiss.IndexBinaryFlat, requests: list[bytes], sample: Sample, figures: Figures
) -> None:
    live = request("GET", "/livez")
    with Client(service.port) as client:
        timed(client.exchange, requests[:WARM_UP])
        bare, ours = _in_turns(client, index, requests, sample)
        _, floor = timed(client.exchange, [live] * len(requests))
        with awake():
            bare_awake, ours_awake = _in_turns(client, index, requests, sample)
    case = sample.case
    figures.add(PART, case, "raw FAISS, ms", median_ms(bare))
    figures.add(PART, case, "one client, ms", median_ms(ours))
    figures.add(PART, case, "one client, p99, ms", percentile_ms(ours, 99))
    figures.add(PART, case, "one client, added to raw, ms", _added_ms(ours, bare), most=MOST_ADDED_MS)
    figures.add(PART, case, "one client, added, cores kept awake, ms", _added_ms(ours_awake, bare_awake))
    figures.add(PART, case, "GET /livez (the client's floor), ms", median_ms(floor))


def _in_turns(
    client: Client, index: faiss.IndexBinaryFlat, requests: list[bytes], sample: Sample
) -> tuple[list[float], list[float]]:
    """The seconds of each bare call and of each request; in turns, as no client scans codes between two requests."""
    bare: list[float] = []
    ours: list[float] = []
    for start in range(0, len(requests), TURN):
        turn = slice(start, start + TURN)
        expected, seconds = timed(lambda query: raw.search(index, query)[0], sample.queries[turn])
        bare += seconds
        replies, seconds = timed(client.exchange, requests[turn])
        ours += seconds
        for query, distances, reply in zip(sample.queries[turn], expected, replies, strict=True):
            found = verify.matches(content_of(reply)["results"])
            verify.check_exact(sample.items, query, found, distances, "the service")
    return bare, ours


def _added_ms(ours: list[float], bare: list[float]) -> float:
    return median_ms([a - b for a, b in zip(ours, bare, strict=True)])


def _many_clients(
    service: Service,
    index: faiss.IndexBinaryFlat,
    requests: list[bytes],
    sample: Sample,
    plan: Plan,
    threads: int,
    figures: Figures,
) -> None:
    bare, loads = [], []
    for _ in range(plan.rounds):
        bare.append(raw.per_second(index, sample.queries, threads, plan.seconds))
        loads.append(load(service.process, service.port, requests, CLIENTS, CLIENT_PROCESSES, plan.seconds))
    for each in loads:
        _verify(each, index, sample)
    case, name = sample.case, f"{CLIENTS} clients, {threads} thread{'s' if threads > 1 else ''}"
    shares = [each.per_second / alone for each, alone in zip(loads, bare, strict=True)]
    figures.add(PART, case, f"raw FAISS, {name.partition(', ')[2]}, searches/s", statistics.median(bare))
    figures.add(PART, case, f"{name}, searches/s", statistics.median(each.per_second for each in loads))
    figures.add(PART, case, f"{name}, share of raw", statistics.median(shares), least=LEAST_SHARE)
    figures.add(PART, case, f"{name}, client's own, us a request", loads[-1].client_microseconds)


def _verify(seen: Load, index: faiss.IndexBinaryFlat, sample: Sample) -> None:
    for place, results in verify.replies(seen):
        distances, _ = raw.search(index, sample.queries[place])
        found = verify.matches(results)
        verify.check_exact(sample.items, sample.queries[place], found, distances, "the service under load")

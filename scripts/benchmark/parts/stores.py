"""Stores beside one another, each behind a service of its own: the same import, searches and upserts over HTTP."""

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from models.codes import Codes
from scripts.benchmark import raw, verify
from scripts.benchmark.client import NDJSON, Client, content_of, request, search_request
from scripts.benchmark.codes import Sample, item_id, lines
from scripts.benchmark.figures import Figures, median_ms, percentile_ms
from scripts.benchmark.load import load
from scripts.benchmark.parts.search import WARM_UP
from scripts.benchmark.plan import CLIENT_PROCESSES, CLIENTS, K, Plan
from scripts.benchmark.process import Service
from scripts.benchmark.stores import Compared
from scripts.milvus.sealing import seal

PART = "stores"
UPSERTS = 100
# Items a request: one of a million could be longer on its way than a connection is waited for.
IMPORTED = 100_000
# Of items and a query, what was found, and by whom.
Check = Callable[[Codes, Codes, verify.Found, str], None]


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures, stores: Mapping[str, Compared]) -> None:
    """Each store by its name; its collection goes when it is done."""
    for store, compared in stores.items():
        # What is not ours may have a collection of any name.
        collection = f"benchmark-{secrets.token_hex(4)}"
        with Service(data / store, *compared.options) as service:
            with Client(service.port) as client:
                client.call("PUT", f"/v1/collections/{collection}", {"bits": sample.case.bits, **compared.settings})
            try:
                _measure(service, collection, sample, plan, store, figures, compared)
            finally:
                with Client(service.port) as client:
                    client.call("DELETE", f"/v1/collections/{collection}")


def _measure(
    service: Service,
    collection: str,
    sample: Sample,
    plan: Plan,
    store: str,
    figures: Figures,
    compared: Compared,
) -> None:
    check: Check = verify.check_brute_force if compared.exact else verify.check_approximate
    with Client(service.port) as client:
        _import(client, collection, sample, store, figures)
    if compared.sealed is not None:
        seconds = seal(compared.sealed, collection, len(sample.items))
        figures.add(PART, sample.case, f"{store}: sealed and indexed, s", seconds)
    # A connection of its own: one that rests for seconds is closed by the service.
    with Client(service.port) as client:
        _search(client, collection, sample, store, figures, check)
    _search_by_many(service, collection, sample, plan, store, figures, check)
    with Client(service.port) as client:
        _upsert(client, collection, sample, store, figures)


def _import(client: Client, collection: str, sample: Sample, store: str, figures: Figures) -> None:
    seconds = 0.0
    for start in range(0, len(sample.items), IMPORTED):
        some = sample.items[start : start + IMPORTED]
        body = request("POST", f"/v1/collections/{collection}/index", b"\n".join(lines(some, start)), NDJSON)
        began = time.perf_counter()
        written = content_of(client.exchange(body))
        seconds += time.perf_counter() - began
        expected = {"indexed": len(some), "rejected": []}
        verify.require(written == expected, f"expected {expected} from {store}, got {written}")
    figures.add(PART, sample.case, f"{store}: NDJSON import, items/s", len(sample.items) / seconds)


def _search(client: Client, collection: str, sample: Sample, store: str, figures: Figures, check: Check) -> None:
    index = raw.flat(sample.items)
    requests = [search_request(collection, query.tobytes(), limit=K) for query in sample.queries]
    for prepared in requests[:WARM_UP]:
        client.exchange(prepared)
    times, recalls = [], []
    for query, prepared in zip(sample.queries, requests, strict=True):
        began = time.perf_counter()
        reply = client.exchange(prepared)
        times.append(time.perf_counter() - began)
        found = verify.matches(content_of(reply)["results"])
        check(sample.items, query, found, store)
        tenth = int(raw.search(index, query)[0][-1])
        recalls.append(verify.recall([distance for _, distance in found], tenth))
    figures.add(PART, sample.case, f"{store}: one client, ms", median_ms(times))
    figures.add(PART, sample.case, f"{store}: one client, p99, ms", percentile_ms(times, 99))
    figures.add(PART, sample.case, f"{store}: recall@10", sum(recalls) / len(recalls))


def _search_by_many(
    service: Service, collection: str, sample: Sample, plan: Plan, store: str, figures: Figures, check: Check
) -> None:
    requests = [search_request(collection, query.tobytes(), limit=K) for query in sample.queries]
    seen = load(service.process, service.port, requests, CLIENTS, CLIENT_PROCESSES, plan.seconds * plan.rounds)
    for place, results in verify.replies(seen):
        check(sample.items, sample.queries[place], verify.matches(results), store)
    figures.add(PART, sample.case, f"{store}: {CLIENTS} clients, searches/s", seen.per_second)
    figures.add(PART, sample.case, f"{store}: {CLIENTS} clients, p99, ms", percentile_ms(seen.latencies, 99))


def _upsert(client: Client, collection: str, sample: Sample, store: str, figures: Figures) -> None:
    """Queries as new items, one a request; each is found by the very next search."""
    times, after = [], []
    news = sample.queries[:UPSERTS]
    for place, (query, line) in enumerate(
        zip(news, lines(news, first=len(sample.items)), strict=True), len(sample.items)
    ):
        upsert = request("POST", f"/v1/collections/{collection}/index", b'{"items":[' + line + b"]}")
        began = time.perf_counter()
        written = content_of(client.exchange(upsert))
        replied = time.perf_counter()
        reply = content_of(client.exchange(search_request(collection, query.tobytes(), limit=K)))
        after.append(time.perf_counter() - replied)
        times.append(replied - began)
        found = verify.matches(reply["results"])
        verify.require(
            written["indexed"] == 1 and (item_id(place), 0) in found,
            f"expected {item_id(place)} to be found after its upsert to {store}, got {found}",
        )
    figures.add(PART, sample.case, f"{store}: one upsert, median, ms", median_ms(times))
    figures.add(PART, sample.case, f"{store}: one upsert, p99, ms", percentile_ms(times, 99))
    figures.add(PART, sample.case, f"{store}: search after an upsert, median, ms", median_ms(after))

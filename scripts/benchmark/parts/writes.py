"""Durable writes over HTTP: a bulk import as NDJSON, and one item at a time, beside what the disk takes to sync."""

import os
import time
from pathlib import Path

import numpy as np

from scripts.benchmark import raw, verify
from scripts.benchmark.client import NDJSON, Client, content_of, request, search_request
from scripts.benchmark.codes import Sample, item_id, lines
from scripts.benchmark.figures import Figures, median_ms, percentile_ms
from scripts.benchmark.plan import K, Plan
from scripts.benchmark.process import Service

PART = "writes"
COLLECTION = "written"
LEAST_PER_SECOND = 60_000
MOST_UPSERT_MS = 3.0
CHECKED = 20


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """All items in one request, then queries as new items, each in a request of its own."""
    case, path = sample.case, f"/v1/collections/{COLLECTION}"
    body = request("POST", f"{path}/index", b"\n".join(lines(sample.items)), NDJSON)
    upserts = [
        request("POST", f"{path}/index", b'{"items":[' + line + b"]}")
        for line in lines(sample.queries, first=len(sample.items))
    ]
    with Service(data) as service, Client(service.port) as client:
        client.call("PUT", path, {"bits": case.bits})
        began = time.perf_counter()
        written = content_of(client.exchange(body))
        seconds = time.perf_counter() - began
        verify.require(
            written == {"indexed": plan.items, "rejected": []},
            f"expected {plan.items} items to be indexed, got {written}",
        )
        _check(client, sample)
        times = []
        for upsert in upserts:
            began = time.perf_counter()
            written = content_of(client.exchange(upsert))
            times.append(time.perf_counter() - began)
            verify.require(written["indexed"] == 1, f"expected one item to be indexed, got {written}")
        _check_upserts(client, sample)
    size = sum(file.stat().st_size for file in data.iterdir() if file.is_file())
    figures.add(PART, case, "NDJSON import, items/s", plan.items / seconds, least=LEAST_PER_SECOND)
    figures.add(PART, case, "NDJSON import, s", seconds)
    figures.add(PART, case, "one upsert, median, ms", median_ms(times), most=MOST_UPSERT_MS)
    figures.add(PART, case, "one upsert, p99, ms", percentile_ms(times, 99))
    figures.add(PART, case, "write of 4 KiB and fsync, ms", _sync_ms(data, len(times)))
    figures.add(PART, case, "database, MB", size / 1e6)


def _check(client: Client, sample: Sample) -> None:
    index = raw.flat(sample.items)
    for place in np.random.default_rng(1).integers(0, len(sample.items), CHECKED).tolist():
        item = client.call("GET", f"/v1/collections/{COLLECTION}/items/{item_id(place)}")
        code = sample.items[place].tobytes().hex()
        verify.require(item["code"] == code, f"expected {item_id(place)} with code {code}, got {item}")
    for query in sample.queries[:CHECKED]:
        reply = content_of(client.exchange(search_request(COLLECTION, query.tobytes(), limit=K)))
        found = verify.matches(reply["results"])
        verify.check_exact(sample.items, query, found, raw.search(index, query)[0], "the import")


def _check_upserts(client: Client, sample: Sample) -> None:
    # Each query is an item now, and found by its own code.
    for place, query in enumerate(sample.queries[:CHECKED], len(sample.items)):
        reply = content_of(client.exchange(search_request(COLLECTION, query.tobytes(), limit=K)))
        found = verify.matches(reply["results"])
        verify.require((item_id(place), 0) in found, f"expected {item_id(place)} at distance 0, got {found}")


def _sync_ms(data: Path, times: int) -> float:
    """What the disk itself takes: the median of writes that are synced, beside the database."""
    taken = []
    path = data / "sync"
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    path.unlink()
    return median_ms(taken)

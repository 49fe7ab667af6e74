"""How long the event loop keeps others waiting during a bulk import: GET /livez, 50 times a second, from outside."""

import threading
import time
from pathlib import Path
from typing import Any

from scripts.benchmark import verify
from scripts.benchmark.client import NDJSON, Client, content_of, request
from scripts.benchmark.codes import Sample, lines
from scripts.benchmark.figures import Figures, median_ms, percentile_ms
from scripts.benchmark.plan import Plan
from scripts.benchmark.process import Service

PART = "lag"
COLLECTION = "lagging"
ITEMS = 500_000
PER_SECOND = 50
MOST_P99_MS = 50
MOST_MS = 100


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """Each request is timed from when it was due, not from when it could be sent: a wait counts once for each."""
    codes = sample.items[:ITEMS]
    path = f"/v1/collections/{COLLECTION}"
    body = request("POST", f"{path}/index", b"\n".join(lines(codes)), NDJSON)
    outcome: list[Any] = []
    with Service(data) as service, Client(service.port) as client, Client(service.port) as importer:
        client.call("PUT", path, {"bits": sample.case.bits})
        importing = threading.Thread(target=lambda: outcome.append(content_of(importer.exchange(body))))
        importing.start()
        times = _ping(client, importing)
        importing.join()
        count = client.call("GET", path)["count"]
    verify.require(
        outcome == [{"indexed": len(codes), "rejected": []}] and count == len(codes),
        f"expected {len(codes)} items to be indexed meanwhile, got {outcome} and a count of {count}",
    )
    case = sample.case
    figures.add(PART, case, "GET /livez during an import, median, ms", median_ms(times))
    figures.add(PART, case, "GET /livez during an import, p99, ms", percentile_ms(times, 99), most=MOST_P99_MS)
    figures.add(PART, case, "GET /livez during an import, longest, ms", max(times) * 1e3, most=MOST_MS)
    figures.add(PART, case, "requests", len(times))


def _ping(client: Client, importing: threading.Thread) -> list[float]:
    live = request("GET", "/livez")
    times: list[float] = []
    due = time.perf_counter()
    while importing.is_alive() or not times:
        time.sleep(max(0.0, due - time.perf_counter()))
        content_of(client.exchange(live))
        times.append(time.perf_counter() - due)
        due += 1 / PER_SECOND
    return times

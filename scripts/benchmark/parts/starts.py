"""Starting with all items there: how long until ready, and what each item takes of memory."""

import statistics
from pathlib import Path

from scripts.benchmark import raw, verify
from scripts.benchmark.client import Client, content_of, search_request
from scripts.benchmark.codes import Sample
from scripts.benchmark.figures import Figures
from scripts.benchmark.parts.search import COLLECTION
from scripts.benchmark.plan import K, Plan
from scripts.benchmark.process import Service

PART = "start"
MOST_SECONDS = 3.0
MOST_BYTES = 48


def measure(data: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """From the start of the process to /readyz, as often as there are rounds; memory beside the empty service's."""
    empty = [_start(data.with_name("empty"), sample, plan, filled=False) for _ in range(plan.rounds)]
    full = [_start(data, sample, plan, filled=True) for _ in range(plan.rounds)]
    seconds, resident = (statistics.median(values) for values in zip(*full, strict=True))
    empty_seconds, empty_resident = (statistics.median(values) for values in zip(*empty, strict=True))
    case = sample.case
    figures.add(PART, case, "empty, ready after, s", empty_seconds)
    figures.add(PART, case, "ready after, s", seconds, most=MOST_SECONDS)
    figures.add(PART, case, "empty, resident, MB", empty_resident / 1e6)
    figures.add(PART, case, "resident, MB", resident / 1e6)
    figures.add(PART, case, "bytes an item", (resident - empty_resident) / plan.items, most=MOST_BYTES)


def _start(data: Path, sample: Sample, plan: Plan, filled: bool) -> tuple[float, int]:
    """Seconds to ready, and resident bytes after one search (of an empty service: of a collection of one item)."""
    with Service(data) as service, Client(service.port) as client:
        query = sample.queries[0]
        if not filled:
            path = f"/v1/collections/{COLLECTION}"
            client.call("PUT", path, {"bits": sample.case.bits})
            client.call("POST", f"{path}/index", {"items": [{"id": "item-0", "code": query.tobytes().hex()}]})
        reply = content_of(client.exchange(search_request(COLLECTION, query.tobytes(), limit=K)))
        found = verify.matches(reply["results"])
        if filled:
            distances, _ = raw.search(raw.flat(sample.items), query)
            verify.check_exact(sample.items, query, found, distances, "the service after its start")
        else:
            verify.require(found == [("item-0", 0)], f"expected the one item there is, got {found}")
        return service.seconds_to_ready, service.resident_bytes()

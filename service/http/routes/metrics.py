"""`GET /metrics`: what was counted, and what there is now."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric

from service.background.boards import WatchedBoard
from service.collections.collections import Collections
from service.errors import StoreUnavailableError
from service.http.access import READ
from service.http.layers.measuring import gauge
from service.http.state import AnyState, State
from service.store.errors import UnknownCollectionError
from service.store.jobs import STATES, Job
from service.threads.fair_pool import FairPool
from service.threads.pool import Pool

router = APIRouter(tags=["health"])
EXAMPLE = 'hammingway_requests_total{method="GET",route="/readyz",status="200"} 1.0\n'
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}}, "description": "All"}
}


class MetricsResponse(Response):
    """Prometheus's text format."""

    media_type = CONTENT_TYPE_LATEST


@router.get("/metrics", dependencies=READ, response_class=Response, responses=TEXT, summary="Metrics")
async def metrics(state: AnyState) -> Response:
    """For Prometheus: requests, stages, queue, items, recall, process; while the service gets ready, too."""
    # Not in the pools: it is when these are full that this is looked at.
    return MetricsResponse(await asyncio.to_thread(lambda: state.metrics.text(_now(state))))


def _now(state: State) -> Iterator[Metric]:
    pid = str(os.getpid())
    pools: dict[str, Pool | FairPool] = {
        "searches": state.readers,
        "writes": state.writers,
        "encodings": state.encoders,
    }
    yield gauge(
        "hammingway_waiting_requests",
        "Requests that wait for a thread",
        ("pool", "pid"),
        [*([([name, pid], pool.waiting) for name, pool in pools.items()]), (["filters", pid], state.lane.waiting)],
    )
    yield gauge(
        "hammingway_ready",
        "1 when every collection has caught up with the store",
        ("pid",),
        [([pid], state.readiness.ready)],
    )
    if state.settings.embedded:
        yield gauge(
            "hammingway_oldest_read_seconds",
            "For how long the oldest read of the database that is open now has been open, 0 where none is",
            ("pid",),
            [([pid], state.open_reads.oldest_seconds())],
        )
    if state.readiness.ready:
        if state.settings.embedded:
            # Milvus would have to count the items anew for each, and has metrics of its own.
            yield from _collections(state.collections, pid)
        with suppress(StoreUnavailableError):
            yield from _jobs(state.jobs)


def _jobs(jobs: WatchedBoard) -> Iterator[Metric]:
    known = jobs.all()
    counts = Counter(job.state for job in known)
    yield gauge(
        "hammingway_jobs",
        "Jobs that are known of; of those of a kind that ended the 200 that ended last",
        ("state",),
        [([state], counts[state]) for state in STATES],
    )
    running = defaultdict(list)
    for job in known:
        if job.state == "running":
            running[job.kind, job.collection].append(job)
    # Several of a kind may run at once: two imports, an index that each process builds.
    yield gauge(
        "hammingway_job_items_per_second",
        "Items a second of work, of the jobs that run",
        ("kind", "collection"),
        [([*labels], sum(job.rate or 0.0 for job in those)) for labels, those in running.items()],
    )
    yield gauge(
        "hammingway_job_progress",
        "Share of their items that the jobs that run are done with, where these are counted",
        ("kind", "collection"),
        [([*labels], share) for labels, those in running.items() if (share := _progress(those)) is not None],
    )


def _progress(those: list[Job]) -> float | None:
    counted = [(job.done, job.total) for job in those if job.total is not None]
    if not counted:
        return None
    total = sum(total for _, total in counted)
    return sum(done for done, _ in counted) / total if total else 0.0


def _collections(collections: Collections, pid: str) -> Iterator[Metric]:
    items, memory, recall = [], [], []
    for described in collections.all():
        try:
            _, held = collections.state(described.name)
        except UnknownCollectionError:
            # Deleted meanwhile.
            continue
        items.append(([described.name], held.count))
        memory.append(([described.name, pid], held.memory_bytes))
        if held.ivf is not None:
            recall.append(([described.name, pid], held.ivf.recall))
    yield gauge("hammingway_items", "Items of a collection", ("collection",), items)
    yield gauge("hammingway_index_bytes", "Memory of a collection's index", ("collection", "pid"), memory)
    yield gauge(
        "hammingway_ivf_recall",
        "Share of the 10 nearest that an IVF index finds, as measured when it was built",
        ("collection", "pid"),
        recall,
    )

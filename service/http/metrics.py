"""`GET /metrics`: what was counted, and what there is now."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric

from service.background import JobBoard
from service.collections import Collections
from service.http.access import READ
from service.http.measuring import gauge
from service.http.state import AnyState, State
from service.store.errors import UnknownCollectionError
from service.store.jobs import STATES

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
    pools = {"searches": state.readers, "writes": state.writers}
    yield gauge(
        "hammingway_waiting_requests",
        "Requests that wait for a thread",
        ("pool", "pid"),
        [([name, pid], pool.waiting) for name, pool in pools.items()],
    )
    yield gauge(
        "hammingway_ready",
        "1 when every collection has caught up with the store",
        ("pid",),
        [([pid], state.readiness.ready)],
    )
    if state.readiness.ready:
        if state.settings.embedded:
            # Milvus would have to count the items anew for each, and has metrics of its own.
            yield from _collections(state.collections, pid)
        yield from _jobs(state.jobs)


def _jobs(jobs: JobBoard) -> Iterator[Metric]:
    known = jobs.all()
    counts = Counter(job.state for job in known)
    yield gauge(
        "hammingway_jobs",
        "Jobs that are known of; of those that ended the newest 200",
        ("state",),
        [([state], counts[state]) for state in STATES],
    )
    running = [job for job in known if job.state == "running"]
    labelled = [([job.kind, job.collection], job) for job in running]
    yield gauge(
        "hammingway_job_items_per_second",
        "Items a second of work, of a job that runs",
        ("kind", "collection"),
        [(labels, job.rate or 0.0) for labels, job in labelled],
    )
    yield gauge(
        "hammingway_job_progress",
        "Share of its items that a job that runs is done with",
        ("kind", "collection"),
        [(labels, job.done / job.total if job.total else 0.0) for labels, job in labelled],
    )


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

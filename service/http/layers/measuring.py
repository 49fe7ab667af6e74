"""What Prometheus is told: counted and timed on the way, by all worker processes together; the rest when it asks."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from service.telemetry.stages import Stage, Timed

# Set before worker processes start, by `service.process.server`: a folder of files that all of them count in.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STAGE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = {"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"}
# Of requests that no route took: their paths are anything.
NO_ROUTE = "none"
# Of what is no request that could be read.
NO_METHOD = "none"
Told = list[Metric]


class Metrics:
    """One per process; counting takes a lock each, and about a microsecond."""

    def __init__(self) -> None:
        shared = SHARED in os.environ
        self._registry = CollectorRegistry()
        # What is shared is read from the files, of which this process's own are a part.
        own = None if shared else self._registry
        if shared:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        self._registry.register(_OfThisProcess(ProcessCollector(registry=None)))
        by_request = ("method", "route", "status")
        self._requests = Counter("hammingway_requests", "Requests answered", by_request, registry=own)
        self._seconds = Histogram(
            "hammingway_request_seconds",
            "From a request's headers to the end of its reply",
            by_request[:2],
            registry=own,
            buckets=REQUEST_SECONDS,
        )
        stages = Histogram(
            "hammingway_stage_seconds",
            "Of searches and writes; searches that were answered together count once",
            ("stage",),
            registry=own,
            buckets=STAGE_SECONDS,
        )
        # Looked up once: to find them by their labels takes as long as to count.
        self._stages = {stage: stages.labels(stage).observe for stage in get_args(Stage)}
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def stage(self, stage: Stage) -> AbstractContextManager[None]:
        """Times what is done within it."""
        return Timed(self._stages[stage])

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered."""
        key = (method, route, status)
        if key not in self._known:
            self._known[key] = (self._requests.labels(method, route, status), self._seconds.labels(method, route))
        counter, histogram = self._known[key]
        counter.inc()
        histogram.observe(seconds)

    def count_refused(self, status: int) -> None:
        """Note what was answered before there was a whole head of a request: of no method, in no time."""
        self._requests.labels(NO_METHOD, NO_ROUTE, status).inc()

    def text(self, now: Iterable[Metric]) -> bytes:
        """All in Prometheus's text format, with what is only known when it is asked for."""
        asked = CollectorRegistry()
        asked.register(_Given(list(now)))
        return generate_latest(self._registry) + generate_latest(asked)


def gauge(name: str, documentation: str, labels: Iterable[str], values: Iterable[tuple[list[str], float]]) -> Metric:
    """A figure as it is now: a value for each of the labels' values."""
    family = GaugeMetricFamily(name, documentation, labels=list(labels))
    for given, value in values:
        family.add_metric(given, value)
    return family


class _Given:
    """Metrics that were made already."""

    def __init__(self, metrics: Told) -> None:
        self._metrics = metrics

    def collect(self) -> Told:
        return self._metrics


class _OfThisProcess:
    """The figures of one of several processes, by its number: without it each would be taken for the same one's."""

    def __init__(self, collector: ProcessCollector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        pid = str(os.getpid())
        for metric in self._collector.collect():
            metric.samples = [sample._replace(labels={**sample.labels, "pid": pid}) for sample in metric.samples]
            yield metric

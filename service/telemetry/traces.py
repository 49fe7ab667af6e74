"""OpenTelemetry traces, sent by OTLP over HTTP. Nothing of OpenTelemetry is imported unless they are asked for.

A request is a span; what is done for it in the stages of `stages.py` are its children. Headers for the collector,
sampling and resources are set as everywhere, by the variables OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER and
OTEL_RESOURCE_ATTRIBUTES.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from importlib.util import find_spec
from time import time_ns
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from models.errors import InvalidInputError
from service.telemetry.stages import Stage, Stages
from service.threads.combining import Answered, Combining
from service.threads.pool import Pool

if TYPE_CHECKING:
    from opentelemetry.trace import Span

A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T")
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
NAME = "hammingway"
# How long one try to reach the collector takes, retries included; and how long an orderly stop waits for the last one.
EXPORT_SECONDS = 2.0
LAST_SECONDS = 1.5
# The requests that the work of this thread, or this task, is for.
_served: ContextVar[tuple["Span", ...]] = ContextVar("served", default=())


def require_installed() -> None:
    """Raise InvalidInputError where the packages that traces need are not there."""
    for name in NEEDED:
        try:
            found = find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise InvalidInputError(
                "expected OpenTelemetry to be installed, found it missing: pip install '.[otel]'", "traces_endpoint"
            )


class Traces:
    """Makes spans, and sends them while `sending` lasts; safe to use from many threads."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the whole URL of a collector: `http://127.0.0.1:4318/v1/traces`."""
        require_installed()
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": NAME}
        resource = Resource.create({**named, "service.version": version(NAME)})
        self._endpoint = endpoint
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracer = self._provider.get_tracer(NAME, version(NAME))
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send spans in the background; what is left at the end is sent if that is quickly done, or else dropped."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=self._endpoint, timeout=EXPORT_SECONDS))
        )
        try:
            yield
        finally:
            # The library itself would wait for half a minute.
            last = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
            last.start()
            last.join(LAST_SECONDS)

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str], attributes: Mapping[str, Any]) -> Iterator["Span"]:
        """The span of a request; a child of what its `traceparent` (W3C Trace Context) names."""
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract(headers)
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)
        before = _served.set((span,))
        try:
            yield span
        finally:
            _served.reset(before)
            span.end()

    def stages(self, timed: Stages) -> Stages:
        """What times the stages, and makes spans of them, too."""
        return lambda stage: self._stage(stage, timed(stage))

    @contextmanager
    def _stage(self, stage: Stage, timed: AbstractContextManager[None]) -> Iterator[None]:
        started = time_ns()
        try:
            with timed:
                yield
        finally:
            ended = time_ns()
            served = _served.get()
            for span in served:
                self._child(span, stage, started, ended, len(served))

    def _child(self, parent: "Span", stage: Stage, started: int, ended: int, together: int) -> None:
        from opentelemetry.trace import set_span_in_context

        attributes = {"hammingway.requests": together}
        child = self._tracer.start_span(stage, set_span_in_context(parent), attributes=attributes, start_time=started)
        child.end(ended)


def failed(span: "Span", kind: str) -> None:
    """Note that a request failed by our fault, and how."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


class TracedPool(Pool):
    """Threads that know which request they work for."""

    async def run(self, call: Callable[[], T]) -> T:
        """As `Pool.run`."""
        return await super().run(self.bound(call))

    def bound(self, call: Callable[P, T]) -> Callable[P, T]:
        """A call, with the requests that it is for."""
        served = _served.get()

        def within(*given: P.args, **named: P.kwargs) -> T:
            before = _served.set(served)
            try:
                return call(*given, **named)
            finally:
                _served.reset(before)

        return within


class TracedCombining(Combining[A, R]):
    """Requests that are answered together: the stages of their answer belong to each of them."""

    def __init__(self, pool: Pool, answer: Callable[[Sequence[A]], Answered[R]]) -> None:
        super().__init__(pool, self._answer_traced)
        self._answer_them = answer
        self._spans: dict[int, tuple[Span, ...]] = {}

    async def run(self, request: A) -> R:
        """As `Combining.run`."""
        self._spans[id(request)] = _served.get()
        try:
            return await super().run(request)
        finally:
            del self._spans[id(request)]

    def _answer_traced(self, requests: Sequence[A]) -> Answered[R]:
        # One whose client went away meanwhile has no span any more.
        spans = [span for request in requests for span in self._spans.get(id(request), ())]
        before = _served.set(tuple(spans))
        try:
            yield from self._answer_them(requests)
        finally:
            _served.reset(before)

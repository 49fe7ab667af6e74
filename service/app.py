"""The application: parts are made when it starts, wired in one place, closed when it stops."""

import asyncio
import gc
import logging.config
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed
from typing import Protocol, TypedDict

from fastapi import FastAPI

from models.errors import HammingwayError
from service.background.boards import Recoder, WatchedBoard
from service.background.snapshots import Snapshots
from service.coding.budget import Budget
from service.coding.hashers import Hashers
from service.collections.analyses import Analyses
from service.collections.collections import Collections
from service.collections.duplicates import Duplicates
from service.http.description import openapi
from service.http.layers.admission import Admission
from service.http.layers.application import Application
from service.http.layers.frame import Frame
from service.http.layers.head import Head
from service.http.layers.held import HeldBytes
from service.http.layers.measuring import Metrics
from service.http.layers.time_limit import TimeLimit
from service.http.replies import problems
from service.http.replies.reply import count_in
from service.http.requests.parameters import KnownParameters
from service.http.routes import (
    collections,
    compare,
    decode,
    docs,
    drift,
    duplicates,
    encode,
    health,
    items,
    jobs,
    metrics,
    models,
    pages,
    recode,
    search,
    snapshots,
    stats,
    version,
)
from service.http.routes.direct import DirectRoutes
from service.http.searches import Combined, combine
from service.http.state import State
from service.keys import parse_keys
from service.opening import opened
from service.settings import Settings
from service.store.open_reads import OpenReads
from service.store.snapshots import sweep_all
from service.telemetry import logs
from service.telemetry.stages import Stages
from service.threads.combining import Combining
from service.threads.fair_pool import FairPool
from service.threads.lane import Lane
from service.threads.pool import Pool
from service.threads.runs import Runs

log = logging.getLogger(__name__)
# Looked through in this order, 5 microseconds each: what is asked most often comes first.
ROUTES = (
    pages,
    items,
    health,
    encode,
    compare,
    duplicates,
    drift,
    collections,
    stats,
    snapshots,
    recode,
    jobs,
    decode,
    models,
    version,
    metrics,
)
# Between two looks for garbage that reference counts do not find: at Python's own bound of 700 they took a twentieth of
# a search's processor time.
NEW_OBJECTS = 10_000
# Each holds what it has found, and takes a core.
MOST_RUNS = 2


class Parts(Protocol):
    """What serves collections, whoever keeps them; not loaded yet."""

    @property
    def collections(self) -> Collections:
        """The collections."""

    @property
    def duplicates(self) -> Duplicates:
        """Near-duplicates."""

    @property
    def analyses(self) -> Analyses:
        """What codes say as a whole."""

    @property
    def recodings(self) -> Recoder:
        """Re-codings."""

    @property
    def jobs(self) -> WatchedBoard:
        """Jobs."""

    @property
    def open_reads(self) -> OpenReads:
        """Reads of the database that are open; none over Milvus."""

    def load(self) -> None:
        """Get ready; raises what keeps it from that for good."""


class Lifespan(TypedDict):
    """What every request carries."""

    service: State


def create_app(settings: Settings) -> Application:
    """The application over the folders that the settings name; nothing is opened before it starts."""
    keys = parse_keys(settings.keys)
    counted = Metrics()
    held = HeldBytes(settings.max_held_bytes, "bodies")
    unsent = HeldBytes(settings.max_unsent_bytes, "replies")
    traced = _traced(settings.traces_endpoint, counted.stage)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Lifespan]:
        _keep_out_of_collections()
        budget = Budget(settings.max_request_pixels, settings.max_request_characters)
        hashers = Hashers(
            settings.hashers, settings.max_characters, settings.max_pixels, settings.max_hasher_bytes, budget
        )
        with _opened(settings, hashers, traced.stages) as parts, traced.sending():
            count_replies = partial(count_in, unsent.taken)
            readers, writers = (traced.pool(settings.threads, settings.queue, count_replies) for _ in range(2))
            lane = Lane(settings.queue)
            encoders = FairPool(traced.pool(settings.threads, settings.queue, count_replies), settings.threads)
            searches = combine(settings, parts.collections, readers, lane, encoders, traced.combining)
            runs = Runs(MOST_RUNS)
            analysts = traced.pool(1, settings.queue, count_replies)
            taking = Snapshots(parts.collections, parts.jobs, settings.snapshots)
            state = State(
                settings,
                parts.collections,
                hashers,
                readers,
                writers,
                encoders,
                searches,
                lane,
                keys,
                counted,
                parts.duplicates,
                runs,
                parts.analyses,
                analysts,
                parts.recodings,
                parts.jobs,
                taking,
                parts.open_reads,
            )
            start = asyncio.create_task(_get_ready(state, parts))
            try:
                yield {"service": state}
            finally:
                await start
                for pool in (readers, lane, writers, encoders, runs, analysts, taking):
                    pool.close()

    app = Application(
        title="Hammingway",
        version=installed("hammingway"),
        description="Semantic hashing as a service: binary codes learned from your own data, searched by Hamming "
        "distance.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    search.install(app)
    for part in ROUTES:
        app.include_router(part.router)
    # The last one is the outermost.
    every = [*app.router.routes, *(route for part in ROUTES for route in part.router.routes)]
    app.wrap(DirectRoutes, application=app)
    app.wrap(KnownParameters, routes=every)
    app.wrap(Admission, with_keys=bool(keys), by_any_name=settings.allow_open)
    app.wrap(Head)
    app.wrap(TimeLimit, seconds=settings.max_seconds)
    traced.install(app)
    app.wrap(Frame, metrics=counted, held=held, unsent=unsent)
    problems.install(app)
    docs.install(app)
    openapi.install(app, bool(keys))
    return app


def from_environment() -> Application:
    """The application by the settings of the environment: what each worker process runs."""
    settings = Settings()
    logging.config.dictConfig(logs.configuration(settings.log_level, settings.log_format))
    return create_app(settings)


def _opened(settings: Settings, hashers: Hashers, stages: Stages) -> AbstractContextManager[Parts]:
    if settings.embedded:
        settings.data.mkdir(parents=True, exist_ok=True)
        return opened(settings.database, hashers, stages, settings.threads)
    # Not known, nor imported, where nobody asks for it.
    from service.milvus import opening
    from service.milvus.address import configured

    return opening.opened(configured(settings), hashers, stages)


@dataclass(frozen=True)
class _Traced:
    """The parts that differ where traces are asked for; here, where they are not."""

    stages: Stages
    pool: type[Pool] = Pool
    combining: type[Combined] = Combining
    sending: Callable[[], AbstractContextManager[None]] = nullcontext
    install: Callable[[Application], None] = lambda app: None


def _traced(endpoint: str | None, stages: Stages) -> _Traced:
    if endpoint is None:
        return _Traced(stages)
    from service.http.layers.tracing import Trace
    from service.telemetry.traces import TracedCombining, TracedPool, Traces

    traces = Traces(endpoint)

    def install(app: Application) -> None:
        app.wrap(Trace, traces=traces)

    return _Traced(traces.stages(stages), TracedPool, TracedCombining, traces.sending, install)


async def _get_ready(state: State, parts: Parts) -> None:
    """Load the codes and verify the hashers while /livez answers already; what fails is logged, not hidden."""
    try:
        await asyncio.to_thread(parts.load)
        await asyncio.to_thread(sweep_all, state.settings.snapshots, state.settings.data)
        parts.jobs.start()
        state.readiness.ready = True
        for reference, error in (await asyncio.to_thread(state.hashers.check)).items():
            if error is not None:
                log.error("hasher %s is not served: %s", reference, error)
    except HammingwayError as error:
        # Every request is answered with it: what is damaged is not searched.
        state.readiness.failure = error
        log.error("the service cannot get ready: %s: %s", error.title, error)
    except Exception:
        log.exception("the service cannot get ready")


def _keep_out_of_collections() -> None:
    """Have Python look no more for garbage among what is there by now, all of which stays, and less often elsewhere.

    While items came in at full speed, each look at it held up everything else for 50 to 120 milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)

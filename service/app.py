"""The application: parts are made when it starts, wired in one place, closed when it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from models.errors import HammingwayError
from service.hashers import Hashers
from service.http import collections, encode, health, items, models, openapi, problems, search, snapshots, stats
from service.http.middleware import RequestId
from service.http.searches import combine
from service.http.state import State
from service.opening import Opened, opened
from service.pool import Pool
from service.settings import Settings

log = logging.getLogger(__name__)


class Lifespan(TypedDict):
    """What every request carries."""

    service: State


def create_app(settings: Settings) -> FastAPI:
    """The application over the folders that the settings name; nothing is opened before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Lifespan]:
        settings.data.mkdir(parents=True, exist_ok=True)
        hashers = Hashers(settings.hashers)
        with opened(settings.database, hashers) as parts:
            readers, writers = (Pool(settings.threads, settings.queue) for _ in range(2))
            searches = combine(settings, parts.collections, readers)
            state = State(settings, parts.collections, hashers, readers, writers, searches)
            start = asyncio.create_task(_get_ready(state, parts))
            try:
                yield {"service": state}
            finally:
                await start
                for pool in (readers, writers):
                    pool.close()

    app: FastAPI = FastAPIOffline(
        title="Hammingway",
        version=version("hammingway"),
        description="Semantic hashing as a service: binary codes learned from your own data, searched by Hamming "
        "distance.",
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_middleware(RequestId)
    problems.install(app)
    for routes in (search, items, collections, stats, snapshots, encode, models, health):
        app.include_router(routes.router)
    openapi.install(app)
    return app


def from_environment() -> FastAPI:
    """The application by the settings of the environment: what each worker process runs."""
    settings = Settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s:     %(message)s")
    return create_app(settings)


async def _get_ready(state: State, parts: Opened) -> None:
    """Load the codes and verify the hashers while /livez answers already; what fails is logged, not hidden."""
    try:
        await asyncio.to_thread(parts.load)
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

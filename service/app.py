"""The application: parts are made when it starts, wired in one place, closed when it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.collections import Collections
from service.hashers import Hashers
from service.http import collections, encode, health, items, models, openapi, problems, search
from service.http.middleware import RequestId
from service.http.state import State
from service.index.follower import Follower
from service.pool import Pool
from service.settings import Settings
from service.store.reader import Reader
from service.store.writer import Writer

log = logging.getLogger(__name__)


class Lifespan(TypedDict):
    """What every request carries."""

    service: State


def create_app(settings: Settings) -> FastAPI:
    """The application over the folders that the settings name; nothing is opened before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Lifespan]:
        settings.data.mkdir(parents=True, exist_ok=True)
        writer = Writer(settings.database)
        # Two readers: a follower that is catching up must not hold up the look-ups.
        reader, changes = Reader(settings.database), Reader(settings.database)
        follower = Follower(changes)
        hashers = Hashers(settings.hashers)
        state = State(
            settings,
            Collections(writer, reader, follower, hashers),
            hashers,
            readers=Pool(settings.threads, settings.queue),
            writers=Pool(settings.threads, settings.queue),
        )
        start = asyncio.create_task(_get_ready(state, follower))
        try:
            yield {"service": state}
        finally:
            await start
            for part in (reader, changes, writer):
                part.close()

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
    for routes in (encode, models, collections, items, search, health):
        app.include_router(routes.router)
    openapi.install(app)
    return app


def from_environment() -> FastAPI:
    """The application by the settings of the environment: what each worker process runs."""
    settings = Settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s:     %(message)s")
    return create_app(settings)


async def _get_ready(state: State, follower: Follower) -> None:
    """Load the codes and verify the hashers while /livez answers already; what fails is logged, not hidden."""
    try:
        await asyncio.to_thread(follower.catch_up)
        state.ready.set()
        for reference, error in (await asyncio.to_thread(state.hashers.check)).items():
            if error is not None:
                log.error("hasher %s is not served: %s", reference, error)
    except Exception:
        log.exception("the service cannot get ready")

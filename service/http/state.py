"""What every route works with: made when the application starts, carried by each request."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from models.errors import HammingwayError
from service.background.boards import Recoder, WatchedBoard
from service.background.snapshots import Snapshots
from service.coding.hashers import Hashers
from service.collections.analyses import Analyses
from service.collections.collections import Collections
from service.collections.duplicates import Duplicates
from service.errors import NotReadyError
from service.http.layers.measuring import Metrics
from service.http.searches import Searches
from service.keys import Keys
from service.settings import Settings
from service.store.open_reads import OpenReads
from service.threads.fair_pool import FairPool
from service.threads.lane import Lane
from service.threads.pool import Pool
from service.threads.runs import Runs


@dataclass
class Readiness:
    """Whether every collection has caught up with the store, or what keeps them from it for good."""

    ready: bool = False
    failure: HammingwayError | None = None

    def require(self) -> None:
        """Raise NotReadyError, or what went wrong."""
        if self.failure is not None:
            raise type(self.failure)(*self.failure.args)
        if not self.ready:
            raise NotReadyError("expected all collections to have caught up with the store, they still do")


@dataclass(frozen=True)
class State:
    """Searches, writes, and encodings with imports have threads of their own: none of them starves the others."""

    settings: Settings
    collections: Collections
    hashers: Hashers
    readers: Pool
    writers: Pool
    encoders: FairPool
    searches: Searches
    lane: Lane
    keys: Keys
    metrics: Metrics
    duplicates: Duplicates
    runs: Runs
    analyses: Analyses
    analysts: Pool
    recodings: Recoder
    jobs: WatchedBoard
    snapshots: Snapshots
    open_reads: OpenReads
    readiness: Readiness = field(default_factory=Readiness)


# Coroutines, as FastAPI sends plain functions to a thread, which was measured to cost as much as all else it does.
async def _state(request: Request) -> State:
    state: State = request.state.service
    return state


async def ready_state(request: Request) -> State:
    """What the request works with, once every collection has caught up; raises NotReadyError."""
    state: State = request.state.service
    state.readiness.require()
    return state


AnyState = Annotated[State, Depends(_state)]
ServiceState = Annotated[State, Depends(ready_state)]

"""What every route works with: made when the application starts, carried by each request."""

from dataclasses import dataclass, field
from typing import Annotated

import anyio
from fastapi import Depends, Request

from service.collections import Collections
from service.hashers import Hashers
from service.pool import Pool
from service.settings import Settings


@dataclass(frozen=True)
class State:
    """Searches and writes have threads of their own, so that an import does not starve the searches."""

    settings: Settings
    collections: Collections
    hashers: Hashers
    readers: Pool
    writers: Pool
    ready: anyio.Event = field(default_factory=anyio.Event)


def _state(request: Request) -> State:
    state: State = request.state.service
    return state


ServiceState = Annotated[State, Depends(_state)]

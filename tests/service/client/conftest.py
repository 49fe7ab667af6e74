"""Both clients, driven alike: what is tested of one is tested of the other."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from service.client import AsyncClient, Client
from service.settings import Settings
from tests.serving import running

Make = Callable[..., Any]


class Awaited:
    """An AsyncClient whose coroutines are run to their end, and whose iterators are ordinary ones."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._client = AsyncClient(*arguments, **options)
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            made = method(*arguments, **options)
            return self._iterate(made) if inspect.isasyncgen(made) else self._loop.run_until_complete(made)

        return call

    def _iterate(self, values: AsyncIterator[Any]) -> Iterator[Any]:
        with_end = aiter(values)
        while True:
            try:
                yield self._loop.run_until_complete(anext(with_end))
            except StopAsyncIteration:
                return


@pytest.fixture(params=[Client, Awaited], ids=["Client", "AsyncClient"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes clients, and closes them in the end."""
    made: list[Any] = []

    def one(*arguments: Any, **options: Any) -> Any:
        made.append(request.param(*arguments, **options))
        return made[-1]

    yield one
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def plain(settings: Settings) -> Iterator[httpx.Client]:
    """The service, by plain HTTP: `client` is one of the two here."""
    with running(settings) as serving:
        yield serving


@pytest.fixture
def client(make: Make, plain: httpx.Client) -> Any:
    return make(str(plain.base_url))

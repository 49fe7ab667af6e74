"""The client that waits."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, TypeVar

import httpx

from service.client import calls
from service.client.calls import Call, Document, Filter
from service.client.errors import ServiceError
from service.client.exchange import Again, Exchange, Options, Outcome, authorization, require_url, trusted
from service.client.importing import Gathering, Import, Line
from service.client.results import (
    Collection,
    Comparison,
    Decoded,
    Drift,
    Encoded,
    Group,
    Indexed,
    Item,
    Job,
    Match,
    Model,
    Page,
    Recoding,
    Snapshot,
    Stats,
    Version,
)
from service.client.retries import Retries
from service.client.streaming import Lines

T = TypeVar("T")
TIMEOUT_SECONDS = 120.0


class Client:
    """One service by its URL; `with` closes the connections. For one thread, or for many.

    `key` is an API key, `compress` sends bodies from 16 KiB on as gzip. Documents are as the API takes them,
    `{"text": ..}`, `{"vector": ..}`, `{"code": ..}`, but that an `image` may be bytes, and a `vector` a NumPy array.
    Calls raise ServiceError: with the service's own words and status, or that it was not reached. What
    is answered 429 or 503 is tried again, as `retries` says, and so is what was not answered, unless it may have been
    done and is not to be done twice.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float | None = TIMEOUT_SECONDS,
        retries: Retries = Retries(),  # noqa: B008
        compress: bool = False,
    ) -> None:
        self._options = Options(url, timeout, retries, compress)
        base = require_url(url)
        self._http = httpx.Client(base_url=base, headers=authorization(key), verify=trusted(base))

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> bool:
        """Whether the service is there and ready; asked once."""
        outcome = self._try(calls.ready())
        return isinstance(outcome, httpx.Response) and outcome.is_success

    def version(self) -> Version:
        """What serves."""
        return self._send(calls.version())

    def models(self) -> list[Model]:
        """All hashers, by name and version."""
        return self._send(calls.models())

    def model(self, reference: str) -> dict[str, Any]:
        """A hasher's card: how it was trained, on what, how good it is."""
        return self._send(calls.model(reference))

    def encode(self, hasher: str, inputs: Sequence[Document], *, format: str = "hex", logits: bool = False) -> Encoded:
        """Documents to codes, as `hex`, `base64` or `bits`."""
        return self._send(calls.encode(hasher, inputs, format, logits))

    def decode(
        self,
        hasher: str,
        codes: Sequence[str],
        *,
        format: str = "hex",
        collection: str | None = None,
        limit: int | None = None,
    ) -> Decoded:
        """Codes to what the decoder remembers; for a hasher of texts, to the nearest items of a collection."""
        return self._send(calls.decode(hasher, codes, format, collection, limit))

    def collections(self) -> list[Collection]:
        """All collections, by name."""
        return self._send(calls.collections())

    def collection(self, name: str) -> Collection:
        """A collection as it is; raises ServiceError with status 404 where there is none."""
        return self._send(calls.collection(name))

    def create_collection(
        self,
        name: str,
        *,
        hasher: str | None = None,
        bits: int | None = None,
        index: Mapping[str, Any] | None = None,
        keep_features: str | None = None,
        keep_documents: bool | None = None,
        consistency: str | None = None,
    ) -> Collection:
        """Create a collection with a `hasher` or `bits`; what is there with these settings is returned as it is."""
        keep = {"keep_features": keep_features, "keep_documents": keep_documents, "consistency": consistency}
        call = calls.create_collection(name, hasher=hasher, bits=bits, index=index, **keep)
        return self._send(call)

    def change_collection(self, name: str, *, index: Mapping[str, Any]) -> Collection:
        """Change how a collection is searched: `{"kind": "ivf"}`, `{"kind": "auto", "above": 200_000}`."""
        return self._send(calls.change_collection(name, index))

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all its items; raises ServiceError with status 404 where there is none."""
        self._send(calls.delete_collection(name))

    def stats(self, name: str, *, codes: bool = False) -> Stats:
        """A collection in numbers, on request also how good its codes are."""
        return self._send(calls.stats(name, codes))

    def drift(self, name: str, *, items: int | None = None) -> Drift:
        """Whether the latest items differ from what the hasher was trained on."""
        return self._send(calls.drift(name, items))

    def snapshot(self, name: str) -> Snapshot:
        """Write a collection into a file of the service's; waits as long as it takes."""
        return self._send(calls.snapshot(name))

    def begin_snapshot(self, name: str) -> Job:
        """Have a collection written into a file in the background; the job's `result` says which."""
        return self._send(calls.begin_snapshot(name))

    def recode(self, name: str, hasher: str, *, switch: str = "automatic") -> Job:
        """Have a collection coded anew in the background, by another hasher; `switch` is `automatic` or `manual`."""
        return self._send(calls.recode(name, hasher, switch))

    def recoding(self, name: str) -> Recoding:
        """How far a re-coding is; raises ServiceError with status 404 where there is none."""
        return self._send(calls.recoding(name))

    def switch(self, name: str, *, without_refused: bool = False) -> Recoding:
        """Search by the new codes from now on, if need be without the items that the new hasher refused."""
        return self._send(calls.switch(name, without_refused))

    def roll_back(self, name: str) -> Job:
        """Search by the old codes again, and discard the new ones."""
        return self._send(calls.roll_back(name))

    def finish(self, name: str) -> Job:
        """Discard the old codes: after that there is no way back."""
        return self._send(calls.finish(name))

    def jobs(self, *, collection: str | None = None, state: str | None = None, kind: str | None = None) -> list[Job]:
        """Jobs, the newest first: all, those of a collection, those in a state, those of a kind."""
        return self._send(calls.jobs(collection, state, kind))

    def job(self, number: int) -> Job:
        """A job by its id; raises ServiceError with status 404 where there is none."""
        return self._send(calls.job(number))

    def cancel(self, number: int) -> Job:
        """End a job; what it has made is discarded, but for items that were indexed."""
        return self._send(calls.cancel(number))

    def index(self, name: str, items: Sequence[Document]) -> int:
        """Upsert items, all or none: `{"id": .., "text": .., "payload": ..}`; says how many."""
        return self._send(calls.index(name, items))

    def index_lines(
        self, name: str, lines: Iterable[Line], *, progress: Callable[[Indexed], None] | None = None
    ) -> Indexed:
        """Upsert items, or lines of JSON, as many as there are; bad and blank ones are passed over, bad ones told.

        They are read as they are sent, 1000 or 8 MiB a request; `progress` is told after each what became of them all.
        Raises ServiceError that says what was indexed before.
        """
        gathering, done = Gathering(), Import()
        for line in lines:
            if batch := gathering.add(line):
                self._index_batch(name, batch, done, progress)
        if batch := gathering.rest():
            self._index_batch(name, batch, done, progress)
        return done.outcome()

    def search(
        self,
        name: str,
        query: Document,
        *,
        limit: int | None = None,
        max_distance: int | None = None,
        filter: Filter | None = None,
        rank: str | None = None,
        candidates: int | None = None,
        exact: bool | None = None,
        with_: Sequence[str] | None = None,
    ) -> list[Match]:
        """The items nearest to a document, or to an item by `{"id": ..}`; `with_` says what matches carry."""
        return self._send(
            calls.search(
                name,
                query,
                limit=limit,
                max_distance=max_distance,
                filter=filter,
                rank=rank,
                candidates=candidates,
                exact=exact,
                with_=with_,
            )
        )

    def search_many(
        self,
        name: str,
        queries: Sequence[Document],
        *,
        limit: int | None = None,
        max_distance: int | None = None,
        filter: Filter | None = None,
        rank: str | None = None,
        candidates: int | None = None,
        exact: bool | None = None,
        with_: Sequence[str] | None = None,
    ) -> list[list[Match]]:
        """The items nearest to each of many queries, in their order."""
        return self._send(
            calls.search_many(
                name,
                queries,
                limit=limit,
                max_distance=max_distance,
                filter=filter,
                rank=rank,
                candidates=candidates,
                exact=exact,
                with_=with_,
            )
        )

    def compare(self, name: str, a: Document, b: Document) -> Comparison:
        """How far apart two documents, codes or items are, and in which bits."""
        return self._send(calls.compare(name, a, b))

    def duplicates(self, name: str, max_distance: int, *, after: str | None = None) -> Iterator[Group]:
        """Groups of near-duplicates within a Hamming distance, each as it comes; the first may take minutes.

        Where they break off, `after` the first id of the last one goes on.
        """
        yield from self._stream(calls.duplicates(name, max_distance, after))

    def item(self, name: str, item_id: str, *, with_: Sequence[str] | None = None) -> Item:
        """An item by its id; raises ServiceError with status 404 where there is none."""
        return self._send(calls.item(name, item_id, with_))

    def items(
        self,
        name: str,
        *,
        filter: Filter | None = None,
        with_: Sequence[str] | None = None,
        page_size: int | None = None,
    ) -> Iterator[Item]:
        """All items by id, or those that a filter lets through, fetched page by page as they are asked for."""
        page = self.page(name, limit=page_size, filter=filter, with_=with_)
        yield from page.items
        while page.cursor is not None:
            page = self.page(name, cursor=page.cursor, limit=page_size, filter=filter, with_=with_)
            yield from page.items

    def page(
        self,
        name: str,
        *,
        cursor: str | None = None,
        limit: int | None = None,
        filter: Filter | None = None,
        with_: Sequence[str] | None = None,
    ) -> Page:
        """One page of items, with the cursor of the next."""
        return self._send(calls.page(name, cursor, limit, filter, with_))

    def delete_item(self, name: str, item_id: str) -> None:
        """Delete an item; raises ServiceError with status 404 where there is none."""
        self._send(calls.delete_item(name, item_id))

    def delete(self, name: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None) -> int:
        """Delete items by id, or all that a filter lets through; says how many were there."""
        return self._send(calls.delete(name, ids, filter))

    def _index_batch(
        self, name: str, batch: list[bytes], done: Import, progress: Callable[[Indexed], None] | None
    ) -> None:
        outcome: Indexed | ServiceError
        try:
            outcome = self._send(calls.index_lines(name, batch))
        except ServiceError as error:
            outcome = error
        done.add(batch, outcome)
        if progress is not None:
            progress(done.outcome())

    def _send(self, call: Call[T]) -> T:
        exchange = Exchange(call, self._options)
        while isinstance(judged := exchange.judge(self._try(call)), Again):
            time.sleep(judged.seconds)
        return judged.result

    def _stream(self, call: Call[T]) -> Iterator[T]:
        exchange = Exchange(call, self._options)
        while isinstance(judged := exchange.judge_head(self._try(call, stream=True)), Again):
            time.sleep(judged.seconds)
        with closing(judged.result) as answer:
            lines = Lines(call, answer)
            try:
                for chunk in answer.iter_bytes():
                    yield from lines.feed(chunk)
            except httpx.HTTPError as error:
                raise lines.broken_off(error) from None
            yield from lines.finish()

    def _try(self, call: Call[T], *, stream: bool = False) -> Outcome:
        try:
            request = self._http.build_request(**self._options.arguments(call))
            answer = self._http.send(request, stream=stream)
            if not answer.is_success:
                answer.read()
            return answer
        except httpx.HTTPError as error:
            return error
        except httpx.InvalidURL as error:
            raise ServiceError(f"expected names and ids that fit a URL: {error}") from None

"""Imports of NDJSON: read as they are written, so that a body of any length takes bounded memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from fastapi import Request
from fastapi.responses import Response

from models.errors import HammingwayError
from service.coding.encoding import Going
from service.errors import BusyError, Fault, FaultsError, ImportFaultsError, TookTooLongError
from service.http.layers.held import Charge, charge_of
from service.http.layers.sending import require_sent
from service.http.layers.time_limit import lift
from service.http.replies.presence import reading_ahead, while_there
from service.http.replies.reply import reply
from service.http.requests import ndjson
from service.http.requests.inflating import Bound, inflated
from service.http.state import State
from service.jobs.watching import Watched
from service.store.jobs import ItemError
from service.threads.runs import AbandonedError

T = TypeVar("T")
# What a line that was rejected takes until the reply: an estimate.
FAULT_BYTES = 1024


async def import_lines(collection: str, request: Request, state: State, client: Hashable) -> Response:
    """Index the lines of a body; the reply numbers those that were rejected, an error says how many were indexed.

    `client` is whom the request is for: imports share their threads with encodings, in which clients take turns. So
    many imports at once take none of the threads of single writes.
    """
    lift(request)
    # Looked up first: a body of any length to a collection that is not there is not read.
    await state.readers.run(lambda: state.collections.get(collection))
    request = reading_ahead(request)
    # Raises what has nothing to do with lines: no import has begun then.
    body = inflated(request, Bound(state.settings.max_body_bytes, state.settings.max_inflation))
    # What was imported has to be told, however large the other replies are that are not sent yet.
    require_sent(request.scope)
    source = _Source(body, state.settings.max_seconds, charge_of(request.scope))
    job, progress = state.jobs.watch("import", collection), _Progress(state.settings.max_rejected)
    try:
        await _import(collection, request, source, state, job, progress, client)
        outcome = progress.outcome()
    except BaseException as error:
        # Nothing is waited for: the client may be gone, the service may stop.
        job.mark_end(error)
        if isinstance(error, HammingwayError) and not isinstance(error, FaultsError | AbandonedError):
            progress.stop(error)
        raise
    job.mark_end()
    if job.is_noted:
        # Before the reply: else it could be lost with the process, and be called interrupted. Not if there is a queue.
        with suppress(BusyError):
            await state.writers.run(job.end)
    return reply(outcome)


async def _import(
    collection: str,
    request: Request,
    source: "_Source",
    state: State,
    job: Watched,
    progress: "_Progress",
    client: Hashable,
) -> None:
    limits = ndjson.Limits(state.settings.max_line_bytes, state.settings.max_values)
    async for batch in ndjson.read_batches(source.chunks(), limits.line_bytes, source):
        job.require_going()
        work = partial(ndjson.index_batch, state.collections, collection, batch, limits, source.charge)
        indexed, faults = await while_there(request, state.encoders.run(client, _until_ended(work, job)))
        job.advance(indexed + len(faults), [ItemError(None, fault.detail, line) for line, fault in faults.items()])
        source.keep(len(faults) * FAULT_BYTES)
        progress.add(indexed, faults)


def _until_ended(work: Callable[..., T], job: Watched) -> Callable[[Going], T]:
    """Work that ends where the client is gone, and where the job is to end."""

    def until(going: Going) -> T:
        def both() -> None:
            going()
            job.require_going()

        return work(going=both)

    return until


class _Source:
    """The body of an import: waited for as long as lines end, and counted among what all requests hold.

    Only the time in which the client is waited for counts, not that in which lines are indexed.
    """

    def __init__(self, body: AsyncIterator[bytes], seconds: float, charge: Charge) -> None:
        self._body = body
        self._seconds = self._left = seconds
        # Whether anything came since the last line.
        self._came = False
        self._held = 0
        self.charge = charge

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks; raises TookTooLongError where no line but blank ones ends for so long, whatever else comes."""
        clock = asyncio.get_running_loop().time
        while True:
            begun = clock()
            try:
                async with asyncio.timeout(max(0.0, self._left)):
                    chunk = await anext(self._body)
            except StopAsyncIteration:
                return
            except TimeoutError:
                came = "no whole line but blank ones" if self._came else "nothing"
                raise TookTooLongError(
                    f"expected more of the body within {self._seconds:g} seconds, got {came}"
                ) from None
            self._left -= clock() - begun
            self._came = True
            yield chunk

    def line_ended(self) -> None:
        """Wait as long again."""
        self._left, self._came = self._seconds, False

    def hold(self, count: int) -> None:
        """Count so many bytes of lines as held; raises BusyError."""
        self.charge.add(count - self._held)
        self._held = count

    def keep(self, count: int) -> None:
        """Count so many bytes more until the reply; raises BusyError."""
        self.charge.add(count)


class _Progress:
    """What became of the lines so far."""

    def __init__(self, most_rejected: int) -> None:
        self._most = most_rejected
        self._indexed = 0
        self._faults: dict[int, Fault] = {}

    def add(self, indexed: int, faults: dict[int, Fault]) -> None:
        """Count a batch; raises ImportFaultsError where too many lines were bad."""
        self._indexed += indexed
        self._faults |= faults
        if len(self._faults) >= self._most:
            outcome = f"stopped at {self._most} bad lines, with {self._indexed} items indexed"
            raise ImportFaultsError(outcome, list(self._faults.values()), self._indexed)

    def stop(self, error: HammingwayError) -> None:
        """Raise ImportFaultsError for what ended the import before its end."""
        fault = Fault("body", error.status, error.title, str(error))
        outcome = f"stopped with {self._indexed} items indexed"
        raise ImportFaultsError(outcome, [fault, *self._faults.values()], self._indexed)

    def outcome(self) -> dict[str, object]:
        """The reply; raises ImportFaultsError where all lines were bad."""
        if self._faults and not self._indexed:
            raise ImportFaultsError("nothing was indexed", list(self._faults.values()))
        rejected = [
            {"line": number, "status": fault.status, "title": fault.title, "detail": fault.detail}
            for number, fault in self._faults.items()
        ]
        return {"indexed": self._indexed, "rejected": rejected}

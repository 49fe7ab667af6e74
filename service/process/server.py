"""The server: uvicorn, as one process or several; when each stops is for `service.process.stopping` to say."""

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.http.layers import malformed
from service.http.layers.measuring import SHARED
from service.http.layers.request_ids import RequestIds
from service.process.heads import BoundedHeads
from service.process.joined import JoinedWrites
from service.process.open_files import most_connections, raise_limit
from service.settings import Settings
from service.telemetry import logs

# Where the worker processes count together, if it is there: in memory, as a process that writes to a mapped file on a
# full disk is killed.
SHARED_MEMORY = Path("/dev/shm")  # nosec B108  # a folder of its own is made in it
# When a worker is told to stop, `stopping.py` takes up to 6 seconds, then these; after 9, it ends by itself.
CLOSE_SECONDS = 2
KILL_SECONDS = 9.5
# How long a connection without a request is kept when no others are accepted any more.
IDLE_SECONDS = 0.25
log = logging.getLogger(__name__)


class Connection(BoundedHeads):
    """A connection whose request may be on its way when the server stops: it is answered, not reset.

    What is no HTTP is answered with a problem detail, as all that is wrong.
    """

    # Of what reaches no application.
    _ids: ClassVar[RequestIds] = RequestIds()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take up a connection."""
        super().connection_made(transport)
        self.transport = JoinedWrites(transport, self.loop)  # type: ignore[assignment]
        if len(self.connections) > (most := most_connections()):
            self._deaf = True
            self.transport.write(self.refusal(503, f"expected at most {most} connections, got one more: try again"))
            # At once: there is none to spare.
            self.transport.close()

    def shutdown(self) -> None:
        """Close it soon, or when its reply is sent."""
        self.loop.call_later(IDLE_SECONDS, super().shutdown)

    def refusal(self, status: int, detail: str) -> bytes:
        """A problem detail; the id is the caller's, where that came before."""
        # The scope is that of the request before, between two of them; there is none before the first.
        scope: MutableMapping[str, Any] = {"headers": ()}
        if self._part is not None and self.scope is not None:
            scope = self.scope  # type: ignore[assignment]
        request_id = self._ids.note(scope)
        log.warning("request %s: %s", request_id, detail)
        # Of what the application has begun with, it counts itself. None of what is before it starts.
        if self._part != "body" and (state := self.app_state.get("service")) is not None:
            state.metrics.count_refused(status)
        return malformed.reply(request_id, status, detail)


class Workers(Multiprocess):
    """Worker processes that are told to stop the moment the parent is, and then have the listening to themselves."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._told = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        # At once: the queue is looked at twice a second, or less often where a worker hangs.
        self._told = self._told or time.monotonic()
        for worker in self.processes:
            worker.process.terminate()
        self.signal_queue.append(number)

    def terminate_all(self) -> None:
        """Tell them to stop, and let the port be free when the last one stops listening.

        A connection that was accepted for this process would wait until it ends, and be reset then.
        """
        super().terminate_all()
        for listening in self.sockets:
            listening.close()

    def join_all(self) -> None:
        """Wait for them to end; kill those that do not."""
        deadline = (self._told or time.monotonic()) + KILL_SECONDS
        for worker in self.processes:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.exitcode is None:
                worker.kill()
        super().join_all()


def serve(settings: Settings) -> None:
    """Serve until a signal says to stop; exits with another status than 0 where it cannot start.

    The application is made from the environment, in each process.
    """
    # Before worker processes start, which inherit it.
    raise_limit()
    config = uvicorn.Config(
        "service.process.stopping:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level=settings.log_level,
        log_config=logs.configuration(settings.log_level, settings.log_format),
        server_header=False,
        http=Connection,
        ws="none",
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
    if config.workers > 1:
        _serve_by_many(config)
    else:
        _serve_by_one(config)


def _serve_by_one(config: uvicorn.Config) -> None:
    server = uvicorn.Server(config)
    # SIGINT, raised again after all was done.
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _serve_by_many(config: uvicorn.Config) -> None:
    with _counting_together():
        workers = Workers(config, [config.bind_socket()])
        workers.run()
    if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes):
        sys.exit(STARTUP_FAILURE)


@contextmanager
def _counting_together() -> Iterator[None]:
    """A folder for what the worker processes count, as they could only speak for themselves else."""
    in_memory = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hammingway-", dir=in_memory, ignore_cleanup_errors=True) as folder:
        os.environ[SHARED] = folder
        yield

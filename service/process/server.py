"""The server: uvicorn, as one process or several; when each stops is for `service.process.stopping` to say."""

import asyncio
import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, ClassVar

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.http.layers import malformed
from service.http.layers.request_ids import RequestIds
from service.process.heads import BoundedHeads
from service.process.joined import SECONDS, JoinedWrites
from service.process.metrics_folder import metrics_folder, sweep
from service.process.open_files import most_connections, raise_limit
from service.process.workers import Workers
from service.settings import Settings
from service.telemetry import logs

# When a worker is told to stop, `stopping.py` takes up to 6 seconds, then these.
CLOSE_SECONDS = 2
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
        # None before it is ready, when replies are short.
        state = self.app_state.get("service")
        seconds = SECONDS if state is None else state.settings.max_send_seconds
        self.transport = JoinedWrites(transport, self.loop, seconds)  # type: ignore[assignment]
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


def serve(settings: Settings) -> None:
    """Serve until a signal says to stop; exits with another status than 0 where it cannot start.

    The application is made from the environment, in each process.
    """
    # Before worker processes start, which inherit it.
    raise_limit()
    sweep()
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
    with metrics_folder():
        workers = Workers(config, [config.bind_socket()])
        workers.run()
    if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes):
        sys.exit(STARTUP_FAILURE)

"""The real application under a real server: in a thread for most tests, as a process for those that kill it."""

import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service.app import create_app
from service.process.server import Connection
from service.settings import Settings

# Below those that Linux gives to connections, and to who asks for any; each process that runs tests has its own.
FIRST_PORT, PORTS_EACH = 10_000, 4000
READY_IN_A_ROW = 20
# How long a service may take to get ready.
READY_SECONDS = 30.0
# No service of the tests speaks TLS, and to read the certificates there are takes a client 30 ms.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client_of(url: str | httpx.URL, **options: Any) -> httpx.Client:
    """A client of a service; `options` are those of `httpx.Client`."""
    return httpx.Client(base_url=url, verify=NO_CERTIFICATES, **options)


@contextmanager
def running(settings: Settings, readiness: int = 200) -> Iterator[httpx.Client]:
    """A client of the application, served by uvicorn in a thread until the block ends; `readiness` is waited for."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(settings), log_level="warning", ws="none", http=Connection)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        port = listening.getsockname()[1]
        try:
            with client_of(f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_until_ready(client, readiness)
                yield client
        finally:
            server.should_exit = True
            thread.join()


class Process:
    """`python -m service` as users start it.

    `prefix` is a command that runs it (and becomes it by exec), `environment` is added to this process's own.
    """

    def __init__(
        self,
        hashers: Path,
        data: Path,
        *options: str,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        port = free_port()
        command = [*prefix, sys.executable, "-m", "service", "--hashers", str(hashers), "--data", str(data)]
        self.log = data.with_suffix(".log")
        with self.log.open("ab") as log:
            # Another one before it may have written there.
            self._log_from = log.tell()
            self._process = subprocess.Popen(
                [*command, "--port", str(port), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | dict(environment or {}),
            )
        self.pid = self._process.pid
        self.url = f"http://127.0.0.1:{port}"
        self.client = client_of(self.url, timeout=60)
        try:
            wait_until_ready(self.client)
            if "--workers" in options:
                self._wait_for_all(int(options[options.index("--workers") + 1]))
        except BaseException:
            print(self.log.read_text()[-4000:])
            self.kill()
            raise

    def _wait_for_all(self, workers: int) -> None:
        """Each of several workers answers 503 until it is ready itself, and a connection reaches any of them."""
        deadline = time.monotonic() + 30
        while self._started() < workers and time.monotonic() < deadline:
            time.sleep(0.05)
        in_a_row = 0
        while in_a_row < READY_IN_A_ROW and time.monotonic() < deadline:
            with client_of(self.url, timeout=60) as client:
                in_a_row = in_a_row + 1 if client.get("/readyz").status_code == 200 else 0

    def _started(self) -> int:
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().count(b"Application startup complete")

    def kill(self) -> None:
        """SIGKILL to it and its workers: nothing gets to tidy up; none is left of one that was killed before."""
        # The number of one that was waited for may be that of another by now.
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.client.close()

    def stop(self) -> None:
        """SIGTERM, as an orderly stop; uvicorn tidies up, and then dies of the signal that it was sent."""
        self.client.close()
        self._process.terminate()
        assert self._process.wait(timeout=30) in (0, -signal.SIGTERM), self.log.read_text()


def free_port() -> int:
    """A port of this machine that nothing listens on, nor will until it is used."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST_PORT + PORTS_EACH * worker + secrets.randbelow(PORTS_EACH)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def wait_until_ready(client: httpx.Client, status: int = 200) -> None:
    """Return once the service says it is ready, or whatever else is waited for; fail after READY_SECONDS."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == status:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the service did not get ready")

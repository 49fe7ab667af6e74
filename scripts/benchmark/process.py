"""The service as a process of its own, started as its users start it."""

import os
import signal
import socket
import subprocess  # nosec B404  # commands of ours
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from models.errors import HammingwayError
from scripts.benchmark.client import Client, HttpError, request
from scripts.benchmark.machine import resident_bytes

START_SECONDS = 120
POLL_SECONDS = 0.005


class ServiceFailedError(HammingwayError):
    """The service did not start."""

    title = "Service failed"


class Server:
    """A module of Python that serves HTTP, ready; stopped when the block ends."""

    def __init__(self, log: Path, module: str, *options: str) -> None:
        self.port = _free_port()
        self._log = log
        command = [sys.executable, "-m", module, "--port", str(self.port), "--log-level", "warning", *options]
        with log.open("ab") as file:
            began = time.perf_counter()
            self._process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)  # nosec B603  # a list of ours, no shell
        try:
            self._wait_until_ready(began + START_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.perf_counter() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process(self) -> int:
        """The id of the process that serves."""
        return self._process.pid

    def resident_bytes(self) -> int:
        """What it has in memory now."""
        return resident_bytes(self.process)

    def stop(self) -> None:
        """SIGTERM, as an orderly stop; SIGKILL after half a minute."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _wait_until_ready(self, deadline: float) -> None:
        ready = request("GET", "/readyz")
        while time.perf_counter() < deadline and self._process.poll() is None:
            try:
                with Client(self.port) as client:
                    if client.exchange(ready)[9:12] == b"200":
                        return
            except (OSError, HttpError):
                pass
            time.sleep(POLL_SECONDS)
        log = self._log.read_text(errors="replace")[-1000:]
        raise ServiceFailedError(
            f"expected the service to get ready within {START_SECONDS} s, its log ends with: {log}"
        )


class Service(Server):
    """`python -m service` over a data folder."""

    def __init__(self, data: Path, *options: str) -> None:
        data.mkdir(parents=True, exist_ok=True)
        folders = ("--data", str(data), "--hashers", str(data / "hashers"))
        super().__init__(data.with_suffix(".log"), "service", *folders, *options)


class Bare(Server):
    """The smallest application, by the same server."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "bare.log", "uvicorn", "scripts.benchmark.bare:application", "--no-access-log")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port

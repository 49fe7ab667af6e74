"""Watches a service from outside while it is attacked: memory of all its processes, answers of `/livez`."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.processes import workers

SAMPLE_SECONDS = 0.02
LIVE_SECONDS = 0.05
TIMEOUT_SECONDS = 120.0


class Memory:
    """Resident memory in bytes of a process and of those that it started: before, and the most that was seen."""

    def __init__(self, process: int) -> None:
        self._process = process
        self.before = self.now()
        self.peak = self.before

    def now(self) -> int:
        """The sum over the processes that are there."""
        return sum(resident_bytes(each) for each in (self._process, *workers(self._process)))

    @property
    def grown(self) -> int:
        """How far the most is above what was there before."""
        return self.peak - self.before

    def sample(self) -> None:
        """Look once."""
        self.peak = max(self.peak, self.now())


class Liveness:
    """Seconds that each `GET /livez` took, asked all the time on connections of its own."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def ask(self) -> None:
        """Ask once; a connection that is refused or closed is a failure."""
        began = time.monotonic()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/livez")
            status = connection.getresponse().status
            if status != 200:
                self.failures.append(f"status {status}")
        except OSError as error:
            self.failures.append(repr(error))
        finally:
            connection.close()
        self.seconds.append(time.monotonic() - began)

    def percentile(self, share: float) -> float:
        """The seconds that so large a share of the answers took at most."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def longest(self) -> float:
        """The seconds of the slowest answer."""
        return max(self.seconds)


@contextmanager
def watched_memory(process: int) -> Iterator[Memory]:
    """The memory of a service, sampled until the block ends."""
    memory = Memory(process)
    with _repeated(memory.sample, SAMPLE_SECONDS):
        yield memory


@contextmanager
def watched_liveness(url: str) -> Iterator[Liveness]:
    """The answers of `/livez` until the block ends; asked once at least."""
    liveness = Liveness(url)
    with _repeated(liveness.ask, LIVE_SECONDS):
        yield liveness


def resident_bytes(process: int) -> int:
    """What a process has in memory, 0 where it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


@contextmanager
def _repeated(call: Callable[[], None], seconds: float) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        while True:
            call()
            if stop.wait(seconds):
                break

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

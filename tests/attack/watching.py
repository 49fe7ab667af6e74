"""Watches a service from outside while it is attacked: memory of all its processes, answers of `/livez`."""

import http.client
import json
import subprocess
import sys
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
    """Seconds that each `GET /livez` took, on a connection of its own; known once the block has ended."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []

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
    """The answers of `/livez` until the block ends; asked once at least.

    Asked by a process of its own: this one may be busy attacking, and would measure itself.
    """
    liveness = Liveness()
    asking = subprocess.Popen(
        [sys.executable, "-m", "tests.attack.watching", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield liveness
    finally:
        told, _ = asking.communicate()
        liveness.seconds, liveness.failures = json.loads(told)


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


def _ask(url: str) -> str | None:
    """Ask once; what was wrong with the answer, if anything."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
        return None if status == 200 else f"status {status}"
    except OSError as error:
        return repr(error)
    finally:
        connection.close()


def _ask_until_told(url: str) -> None:
    seconds, failures = [], []
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while True:
        began = time.monotonic()
        failure = _ask(url)
        seconds.append(time.monotonic() - began)
        if failure is not None:
            failures.append(failure)
        if ended.wait(LIVE_SECONDS):
            break
    print(json.dumps([seconds, failures]))


if __name__ == "__main__":
    _ask_until_told(sys.argv[1])

"""Load: many connections, each with one request under way, from processes of their own, so that none waits for Python.

Each process is `driver.py`: it takes its orders pickled on standard input, says when it is connected, begins when told
to, and gives back, pickled, what it counted. Its own processor time comes with it: what the client costs.
"""

import pickle  # nosec B403  # between our own processes
import subprocess  # nosec B404  # commands of ours
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from scripts.benchmark.client import HttpError
from scripts.benchmark.machine import cpu_seconds

READY, BEGIN = b"ready\n", b"begin\n"


@dataclass(frozen=True)
class Order:
    """What one process is to do; it starts at its own place in the requests, and takes them round and round."""

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    first: int


@dataclass
class Counted:
    """What one process saw: how long each reply took, the first body by request, the replies that were errors.

    `changed` counts bodies that differ from the first to the same request.
    """

    latencies: list[float] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    failed: list[bytes] = field(default_factory=list)
    changed: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Load:
    """What all processes saw together, and the processor time that it cost them and the service."""

    per_second: float
    latencies: list[float]
    bodies: dict[int, bytes]
    failed: list[bytes]
    changed: int
    client_seconds: float
    service_seconds: float

    @property
    def per_core(self) -> float:
        """Replies per second of the service's processor time."""
        return len(self.latencies) / max(self.service_seconds, 1e-9)

    @property
    def client_microseconds(self) -> float:
        """Processor time that the client took for each request."""
        return self.client_seconds / max(1, len(self.latencies)) * 1e6


def load(service: int, port: int, requests: Sequence[bytes], connections: int, processes: int, seconds: float) -> Load:
    """Put the service of a process id under load, and count."""
    share = len(requests) // processes
    orders = [Order(port, requests, connections // processes, seconds, number * share) for number in range(processes)]
    running = [_start(order) for order in orders]
    for process in running:
        _given(process.stdout).readline()
    before = cpu_seconds(service)
    for process in running:
        _given(process.stdin).write(BEGIN)
        _given(process.stdin).flush()
    counted = [_finish(process) for process in running]
    service_seconds = cpu_seconds(service) - before
    bodies: dict[int, bytes] = {}
    changed = sum(each.changed for each in counted)
    for each in counted:
        for place, body in each.bodies.items():
            changed += bodies.setdefault(place, body) != body
    return Load(
        sum(len(each.latencies) / each.seconds for each in counted),
        [latency for each in counted for latency in each.latencies],
        bodies,
        [reply for each in counted for reply in each.failed],
        changed,
        sum(each.cpu_seconds for each in counted),
        service_seconds,
    )


def _start(order: Order) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # nosec B603  # a list of ours, no shell
        [sys.executable, "-m", "scripts.benchmark.driver"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pickle.dump(order, _given(process.stdin))
    _given(process.stdin).flush()
    return process


def _finish(process: subprocess.Popen[bytes]) -> Counted:
    try:
        counted = pickle.load(_given(process.stdout))  # nosec B301  # between our own processes
    except EOFError:
        raise HttpError("expected figures from a process of the client, it failed") from None
    finally:
        _given(process.stdin).close()
        _given(process.stdout).close()
        process.wait()
    assert isinstance(counted, Counted)  # nosec B101  # for the type checker
    return counted


def _given(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # nosec B101  # for the type checker
    return pipe

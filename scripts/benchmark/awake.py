"""Cores kept from sleeping: what a machine takes to wake one is not the service's doing, and differs tenfold."""

import subprocess  # nosec B404  # commands of ours
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.benchmark.machine import cores

# Of the lowest class of all: whatever else wants to run does, at once.
SPIN = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


@contextmanager
def awake() -> Iterator[None]:
    """Until the block ends, every core has something to do that gives way to all else."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(cores())]  # nosec B603  # a list of ours, no shell
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
        for each in spinning:
            each.wait()

"""How busy the machine is at this moment, whoever keeps it so."""

import os
from contextlib import suppress

_CORES = os.cpu_count() or 1
_RUNNING = "/proc/loadavg"
_file: int | None = None
with suppress(OSError):
    _file = os.open(_RUNNING, os.O_RDONLY | os.O_CLOEXEC)


def idle_cores() -> int:
    """How many cores have nothing to do, as the kernel says; where it does not say, all but the caller's."""
    if _file is None:
        return _CORES - 1
    # "0.20 0.18 0.12 3/511 11206": of 511 threads 3 run or want to, the caller among them.
    running = int(os.pread(_file, 64, 0).split()[3].partition(b"/")[0])
    return max(0, _CORES - running)

"""The machine that was measured on, and what a process takes of it: all from /proc."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("hammingway", "faiss-cpu", "numpy", "uvicorn", "apsw", "sqlite-vec", "lancedb", "usearch")


def describe() -> dict[str, Any]:
    """Cores, processor, memory and versions; a package that is not installed has None."""
    return {
        "cores": cores(),
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "memory_gb": round(int((_field(Path("/proc/meminfo"), "MemTotal") or "0 kB").split()[0]) / 2**20, 1),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def resident_bytes(process: int) -> int:
    """Resident memory of a process, all that it shares included."""
    return int((_field(Path(f"/proc/{process}/status"), "VmRSS") or "0").split()[0]) * 1024


def cpu_seconds(process: int) -> float:
    """Processor time that a process has used so far, in itself and in the kernel."""
    # What follows the name, which may hold anything, in brackets.
    values = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def _field(path: Path, name: str) -> str | None:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

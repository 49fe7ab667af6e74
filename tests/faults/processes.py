"""What /proc tells of the processes of a service: which holds a connection, what each has open and takes of memory."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def workers(parent: int) -> list[int]:
    """The ids of the processes that a process has started."""
    found = []
    for folder in PROC.glob("[0-9]*"):
        # Those that end meanwhile.
        with suppress(OSError):
            # What follows the name, which may hold anything, in brackets.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(folder.name))
    return sorted(found)


def holder(processes: list[int], server_port: int, client_port: int) -> int:
    """Which of the processes has accepted the connection between two ports of this machine."""
    ends = (f":{server_port:04X}", f":{client_port:04X}")
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1])}
    holders = [process for process in processes if sockets & open_files(process).keys()]
    assert len(holders) == 1, f"expected one of {processes} to hold {ends}, found {holders}"
    return holders[0]


def open_files(process: int) -> Counter[str]:
    """What a process has open, as /proc names it: sockets and pipes by their number, files by their path."""
    found: Counter[str] = Counter()
    for link in (PROC / str(process) / "fd").iterdir():
        with suppress(FileNotFoundError):
            found[str(link.readlink())] += 1
    return found


def memory_bytes(process: int) -> int:
    """What a process alone takes of memory: without files it has mapped, which the system may drop at any time."""
    for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"expected /proc to tell the memory of process {process}")

"""How many files a process may have open, connections among them: what these take up, the database lacks."""

import resource
from functools import cache

# As many as a process asks for itself, where it may; a connection without a request takes a few kilobytes of memory.
WANTED = 2**16
# For the database, snapshots, and modules that are imported when they are needed first: some fifty were seen.
RESERVED = 128


def raise_limit() -> None:
    """Ask for as many as are wanted, or as may be had: the usual 1,024 are for programs of another kind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@cache
def most_connections() -> int:
    """What is left for connections; asked once in a process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else max(1, soft - RESERVED)

"""Turns between processes on one database, by a lock file: the system releases the lock of a process that ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(lock: Path) -> Iterator[bool]:
    """Whether this process has the turn until the block ends; false where another process has it.

    `lock` is the lock file, which is made where it is missing.
    """
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True

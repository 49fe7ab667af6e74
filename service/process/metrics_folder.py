"""The folder that worker processes count in together, and the folders that killed services left behind."""

import fcntl
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.http.layers.measuring import SHARED

# In memory, if it is there: a process that writes to a mapped file on a full disk is killed.
SHARED_MEMORY = Path("/dev/shm")  # nosec B108  # a folder of its own is made in it
PREFIX = "hammingway-"
# Locked (shared) by every process that counts in the folder, and let go by the system however they end.
LOCK = "hammingway.lock"
# A folder without a lock may be one that is being made.
YOUNG_SECONDS = 60.0
# As prometheus_client names them: by kind of metric, and by process.
_COUNTS = re.compile(r"(?:counter|gauge|histogram|summary)[a-z_]*_(\d+)\.db")
log = logging.getLogger(__name__)


@contextmanager
def metrics_folder() -> Iterator[None]:
    """A folder for what the worker processes count, as they could only speak for themselves else."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=_parent(), ignore_cleanup_errors=True) as folder:
        lock = _hold(Path(folder))
        os.environ[SHARED] = folder
        try:
            yield
        finally:
            os.close(lock)


def hold_metrics_folder() -> None:
    """Keep the folder that this process counts in, if there is one, from being swept until the process ends."""
    folder = Path(os.environ.get(SHARED, ""))
    if folder.name.startswith(PREFIX):
        _hold(folder)


def sweep(parent: Path | None = None) -> None:
    """Delete the folders of processes that are gone."""
    for folder in (parent or _parent()).glob(f"{PREFIX}*"):
        # Others may delete the same.
        with suppress(OSError):
            seen = folder.lstat()
            if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid():
                _sweep(folder, seen.st_mtime)


def _parent() -> Path:
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def _hold(folder: Path) -> int:
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _sweep(folder: Path, changed: float) -> None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        # Of a version that had no lock.
        counting = [found for file in folder.iterdir() if (found := _COUNTS.fullmatch(file.name))]
        if counting and time.time() - changed > YOUNG_SECONDS and not any(_lives(int(each[1])) for each in counting):
            _delete(folder)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _delete(folder)
    finally:
        os.close(lock)


def _delete(folder: Path) -> None:
    # Nothing but what is known: in a folder for temporary files others may have such a name, too.
    for file in folder.iterdir():
        if _COUNTS.fullmatch(file.name):
            file.unlink()
    (folder / LOCK).unlink(missing_ok=True)
    folder.rmdir()
    log.info("the counts of a service that is gone were deleted: %s", folder)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

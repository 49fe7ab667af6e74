"""Which processes on a data folder live: each that has to be known of holds a lock on a file of its own.

A lock ends with the process that holds it, however that ends; its number would not do, as numbers are given again, and
differ between containers on one folder.
"""

import fcntl
import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path


class Living:
    """One per process; its file is there from the first time that its name is asked for until it is closed."""

    def __init__(self, database: Path) -> None:
        self._folder = database.parent
        self._stem = f"{database.name}-owner-"
        self._guard = threading.Lock()
        self._name: str | None = None
        self._file = -1

    @property
    def name(self) -> str:
        """What this process is called: no other one ever was; raises OSError where no file can be made."""
        with self._guard:
            if self._name is None:
                self._sweep()
                self._name = self._begin()
            return self._name

    def is_own(self, name: str) -> bool:
        """Whether that is this process."""
        return name == self._name

    def lives(self, name: str) -> bool:
        """Whether the process of that name does; what it left is deleted where it does not."""
        path = self._path(name)
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(file)

    def close(self) -> None:
        """Live no more."""
        with self._guard:
            if self._name is not None:
                self._path(self._name).unlink(missing_ok=True)
                os.close(self._file)
                self._name = None

    def _begin(self) -> str:
        while True:
            name = uuid.uuid4().hex
            file = os.open(self._path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            fcntl.flock(file, fcntl.LOCK_EX)
            if self._path(name).exists():
                self._file = file
                return name
            # Another one took it, before it was locked, for what a dead process left.
            os.close(file)

    def _sweep(self) -> None:
        with suppress(OSError):
            for path in self._folder.glob(f"{self._stem}*"):
                self.lives(path.name.removeprefix(self._stem))

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._stem}{name}"

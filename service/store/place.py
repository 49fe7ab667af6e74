"""Whether a database is still where it was opened: what is written to files that were deleted, or replaced by others,
is gone when the service stops, and SQLite does not look.
"""

from pathlib import Path

from service.store.errors import StorageError

# The database, and what SQLite keeps beside it as long as it is open: all or none of it is moved by whoever knows.
SUFFIXES = ("", "-wal", "-shm")


class Place:
    """Of a database that is open in this process, once something was read of it."""

    def __init__(self, database: Path) -> None:
        self._files = [database.with_name(f"{database.name}{suffix}") for suffix in SUFFIXES]
        self._opened = [_identity(file) for file in self._files]

    def require_same(self) -> None:
        """Raise StorageError unless all files are those that were opened; takes 5 microseconds."""
        for file, opened in zip(self._files, self._opened, strict=True):
            if _identity(file) != opened:
                raise StorageError(
                    f"expected {file} as it was opened, it was deleted, moved or replaced since: nothing is written, "
                    "as that would be lost. Put the data folder back, or restore it, and start the service again"
                )


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

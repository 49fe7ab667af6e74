"""SQLite connection that knows which of its cursors are still open.

SQLite keeps the snapshot of a read until the last statement of that read is reset, ROLLBACK or not. A cursor that is
not read to its end holds such a statement, and an exception keeps the cursor alive through the frames of its traceback.
Until the cursor is collected, each later read on the connection sees the old snapshot, and the WAL cannot be
checkpointed. So the code that begins a read or a transaction closes all cursors when it ends, whatever has happened.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any
from weakref import ref


class TrackedConnection(sqlite3.Connection):
    """Connection that can close all of its open cursors. Not for several threads at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A reference removes itself when its cursor is collected, so a long transaction does not gather them.
        self._cursors: set[ref[sqlite3.Cursor]] = set()

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute one statement; the cursor is open until it is read to its end, collected or closed here."""
        return self._tracked(super().execute(sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Execute one statement with each set of parameters."""
        return self._tracked(super().executemany(sql, parameters))

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Execute several statements."""
        return self._tracked(super().executescript(sql_script))

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        """A cursor that is closed with the others."""
        return self._tracked(super().cursor(factory))

    def close_cursors(self) -> None:
        """Close all open cursors; to read on from one of them raises sqlite3.ProgrammingError."""
        while self._cursors:
            cursor = self._cursors.pop()()
            if cursor is not None:
                cursor.close()

    def roll_back(self) -> None:
        """Close the cursors and end the transaction, if there is one, undoing what it wrote."""
        # First the cursors: as long as one is open, SQLite does not end the read.
        self.close_cursors()
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """Close the cursors and the connection, which SQLite would keep open for a cursor."""
        self.close_cursors()
        super().close()

    def _tracked(self, cursor: sqlite3.Cursor) -> sqlite3.Cursor:
        self._cursors.add(ref(cursor, self._cursors.discard))
        return cursor

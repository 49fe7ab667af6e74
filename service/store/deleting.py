"""Deletes by a filter: items are found in slices, outside of the write lock, and deleted in one short transaction."""

from sqlite3 import Connection

import numpy as np

from service.filters import Condition
from service.store import deletions, jobs, statements
from service.store.deletions import NOTHING, Block, Gone, Sequences
from service.store.errors import StoreBusyError
from service.store.reader import Reader, evaluate
from service.store.scan import Scan
from service.store.writer import Writer, delete_found

# What the transaction may take to look at the items that came last, the first time; each time after that twice as long.
LOCKED_SECONDS = 0.01
# Of so many transactions the last takes what it takes: writers that are faster than the filter wait for it then.
ATTEMPTS = 6
# Items whose rows are looked for at once.
LOOKED_FOR = 4096
# Before each of them.
CATCH_UP_SLICES = 20


class Deleting:
    """One delete by a filter: `step` until that is true, then `finish`. For one thread at a time.

    All items are deleted that the filter lets through at the moment of the commit, in both halves of a re-coding.
    Until then nothing is written.
    """

    def __init__(self, writer: Writer, reader: Reader, collection: int, condition: Condition, by_ids: bool) -> None:
        """`by_ids` as of `Scan`."""
        self._writer = writer
        self._reader = reader
        self._collection = collection
        self._condition = condition
        self._by_ids = by_ids
        self._scans: dict[int, Scan] = {}
        # The last removal before the first item was looked at.
        self._removal = 0
        # The last sequence number then.
        self._until = 0

    @property
    def found(self) -> int:
        """How many items were found by now."""
        return self._scans[self._collection].count if self._collection in self._scans else 0

    def step(self) -> bool:
        """Look on for a slice; returns whether all items that were there at first were looked at.

        Raises UnknownCollectionError.
        """
        if not self._scans:
            self._removal = self._reader.gone_since(None).removal
            self._until = self._reader.highest()
            self._begin_scans()
        for scan in self._scans.values():
            if scan.highest < self._until and not scan.step(self._reader) and scan.highest < self._until:
                return False
        return True

    def finish(self, job: int = 0) -> int:
        """Delete what was found, and what came since; returns how many items that are.

        The job of that number ends in the same transaction. Raises UnknownCollectionError, and ConflictError where the
        job was cancelled: nothing is deleted then.
        """
        for attempt in range(ATTEMPTS):
            while not self.step():
                pass
            self._catch_up()
            found, gone = self._found()
            blocks = deletions.blocks_of(found)
            seconds = LOCKED_SECONDS * 2**attempt if attempt < ATTEMPTS - 1 else None
            with self._writer.writing() as connection:
                deleted = self._delete(connection, found, blocks, gone, seconds)
                if deleted is not None:
                    jobs.succeed(connection, job, deleted)
                    return deleted
            self._begin_scans()
        raise StoreBusyError("expected the collection to rest for a moment, it changes faster than it can be read")

    def _catch_up(self) -> None:
        """Look at what came meanwhile, as far as writers are not faster."""
        for scan in self._scans.values():
            for _ in range(CATCH_UP_SLICES):
                if scan.step(self._reader):
                    break

    def _begin_scans(self) -> None:
        """Scan each half of a re-coding, also one that was begun meanwhile."""
        for number in self._reader.together(self._collection):
            if number not in self._scans:
                self._scans[number] = Scan(number, self._condition, by_ids=self._by_ids, verified=True)

    def _found(self) -> tuple[dict[int, Sequences], Gone]:
        """The items that were found and are there, by collection; and up to when it is known what is gone of them."""
        gone = self._reader.gone_since(self._removal)
        found = {number: scan.found() for number, scan in self._scans.items()}
        if gone.sequences is None:
            # More was removed meanwhile than is noted.
            return {number: self._there(each) for number, each in found.items()}, gone
        return {number: each[~deletions.among(gone.sequences, each)] for number, each in found.items()}, gone

    def _there(self, sequences: Sequences) -> Sequences:
        parts = [self._reader.there(sequences[at : at + LOOKED_FOR]) for at in range(0, len(sequences), LOOKED_FOR)]
        return np.concatenate([NOTHING, *parts])

    def _delete(
        self,
        connection: Connection,
        found: dict[int, Sequences],
        blocks: list[Block],
        gone: Gone,
        seconds: float | None,
    ) -> int | None:
        """Delete items within a transaction; returns how many, or None where that would take long."""
        together = [row.number for row in statements.written_together(connection, self._collection)]
        if not found.keys() >= set(together):
            return None
        is_hiding_more = not {each.number for each in deletions.unfinished(connection)} <= gone.deletions
        if is_hiding_more and seconds is not None:
            return None
        hidden = self._writer.hidden(connection) if is_hiding_more else NOTHING
        since = deletions.gone_since(connection, gone.removal, hidden).sequences
        if since is None:
            return None
        exact, late = {}, {}
        for number in together:
            scan = self._scans[number]
            span = statements.last(connection, "items") - scan.highest
            looked = evaluate(connection, number, scan.compiled, scan.highest, span, seconds, verified=True)
            if looked is None:
                return None
            late[number] = looked.sequences
            exact[number] = np.concatenate([found[number][~deletions.among(since, found[number])], looked.sequences])
        # Blocks that are made already may name items that are gone: that does no harm.
        delete_found(connection, exact, [*blocks, *deletions.blocks_of(late)])
        return len(exact[self._collection])

"""The transactions of a re-coding: begun, filled batch by batch, switched, taken back, finished, swept away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from sqlite3 import Connection
from time import monotonic, sleep

from service.errors import ConflictError, UnknownRecodingError
from service.store import jobs, recodings, statements
from service.store.connection import committed
from service.store.deletions import PAUSE_SECONDS, REMOVED_AT_ONCE, REMOVING_SECONDS, Sequences, is_hidden
from service.store.jobs import FIRST_ERRORS, ItemError, Job
from service.store.lookups import listed
from service.store.recoding_reader import Missing, RecodingReader, missing
from service.store.rows import HIDDEN
from service.store.schema import Recoding, StoredItem
from service.store.writer import Writer


class RecodingWriter:
    """Each call is one transaction that finds out itself how things are: other processes write, too."""

    def __init__(self, writer: Writer, counting: RecodingReader | None = None) -> None:
        """`counting` counts items before a transaction, which otherwise takes as long as that."""
        self._writer = writer
        self._counting = counting

    def begin(self, collection: int, hasher: str, bits: int, automatic: bool) -> Job:
        """Have a collection coded anew by another hasher; raises UnknownCollectionError, or ConflictError."""
        total = None if self._counting is None else self._counting.count(collection)
        with self._writer.writing() as connection:
            row = statements.require_collection(connection, collection)
            if recodings.of(connection, collection) is not None:
                raise ConflictError(
                    f"expected {row.name!r} not to be under re-coding, it is: finish it or roll it back first"
                )
            settings = replace(row.settings, bits=bits, hasher=hasher)
            new = statements.create_collection(connection, HIDDEN, settings)
            about = f"from {row.settings.hasher} to {hasher}"
            asked = jobs.new("recode", row.name, new.number, about, total)
            job = jobs.insert(connection, asked)
            last = statements.last(connection, "items")
            recodings.put(connection, Recoding(collection, new.number, job.number, "coding", automatic, last, 0))
            return job

    def add(
        self,
        recoding: Recoding,
        items: Mapping[int, StoredItem],
        refused: Sequence[ItemError],
        position: int,
        started: float,
    ) -> Job | None:
        """Write items, coded anew, by the sequence numbers that they have in the old collection, up to a position.

        Those that were replaced or deleted since are passed over. Nothing is done where the re-coding is not where it
        was. Returns the job as it is then. `started`, as of `monotonic`, is when work on these items began.
        """
        with self._writer.writing() as connection:
            job = jobs.find(connection, recoding.job)
            if job is None or not job.unfinished or recodings.of(connection, recoding.new) != recoding:
                return job
            there = _there(connection, items, self._writer.hidden(connection))
            # None of them is in the new one: that would take a write of the same id, which replaces it in the old one.
            statements.insert(connection, recoding.new, [item for sequence, item in items.items() if sequence in there])
            recodings.put(connection, replace(recoding, position=position))
            statements.note_change(connection, recoding.new)
            return jobs.update(
                connection,
                replace(
                    job,
                    done=job.done + len(items) + len(refused),
                    seconds=job.seconds + monotonic() - started,
                    errors=job.errors + len(refused),
                    first_errors=(*job.first_errors, *refused)[:FIRST_ERRORS],
                    waits_for=None,
                ),
            )

    def complete(self, recoding: Recoding) -> Job | None:
        """All items are done: switch where that was asked for and nothing is missing, else leave it ready."""
        known = self._known_missing(recoding)
        with self._writer.writing() as connection:
            job = jobs.find(connection, recoding.job)
            if job is None or not job.unfinished or recodings.of(connection, recoding.new) != recoding:
                return job
            # What was written anew or deleted meanwhile was no work of the job's.
            job = replace(job, done=job.done if job.total is None else job.total)
            ready = replace(recoding, stage="ready")
            recodings.put(connection, ready)
            statements.note_change(connection, recoding.new)
            lacking = self._missing(connection, recoding, known)
            if not recoding.automatic:
                return jobs.end(connection, job, "succeeded", told_missing(lacking))
            if lacking:
                return jobs.end(connection, job, "failed", f"not switched: {told_missing(lacking)}")
            _switch(connection, ready)
            return jobs.end(connection, job, "succeeded")

    def switch(self, collection: int, without_refused: bool) -> None:
        """Search by the new codes from now on.

        Raises UnknownRecodingError, or ConflictError unless they are ready and, but for `without_refused`, complete.
        """
        known = None
        if self._counting is not None and (pair := self._counting.pair(collection)) is not None:
            known = self._known_missing(pair.recoding)
        with self._writer.writing() as connection:
            recoding = _required(connection, collection)
            if recoding.stage != "ready":
                raise ConflictError(f"expected a re-coding that is ready, got one that is {recoding.stage}")
            lacking = self._missing(connection, recoding, known)
            if lacking and not without_refused:
                raise ConflictError(f"expected all items to be coded by the new hasher: {told_missing(lacking)}")
            _switch(connection, recoding)

    def _known_missing(self, recoding: Recoding) -> Missing | None:
        return None if self._counting is None else self._counting.missing(recoding)

    def _missing(self, connection: Connection, recoding: Recoding, known: Missing | None) -> int:
        """How many items of the old collection the new one lacks, as its hasher refused them."""
        if known is not None and known.committed == committed(connection):
            return known.items
        # Something was written since they were counted.
        return missing(connection, recoding, self._writer.hidden(connection))

    def roll_back(self, collection: int) -> Job:
        """Search by the old codes, and let go of the new ones; the job that makes them is cancelled if it is not over.

        Returns the job that discards them; raises UnknownRecodingError.
        """
        with self._writer.writing() as connection:
            recoding = _required(connection, collection)
            job = jobs.find(connection, recoding.job)
            if job is not None and job.unfinished:
                jobs.end(connection, job, "cancelled")
            if recoding.stage == "switched":
                _swap(connection, recoding.new, recoding.old)
            return _end(connection, recoding, recoding.old, recoding.new)

    def stop(self, number: int, state: jobs.State, detail: str | None = None) -> None:
        """End a job that is not over, and let go of the codes that it made; raises ConflictError where it is over."""
        with self._writer.writing() as connection:
            job = jobs.find(connection, number)
            if job is None or not job.unfinished:
                raise ConflictError(f"expected a job that is not over, job {number} is")
            jobs.end(connection, job, state, detail)
            statements.note_change(connection, job.subject)
            recoding = recodings.of(connection, job.subject)
            if recoding is not None:
                _end(connection, recoding, recoding.old, recoding.new)

    def finish(self, collection: int) -> Job:
        """Let go of the old codes; returns the job that discards them.

        Raises UnknownRecodingError, or ConflictError unless it was switched.
        """
        with self._writer.writing() as connection:
            recoding = _required(connection, collection)
            if recoding.stage != "switched":
                raise ConflictError(f"expected a re-coding that was switched, got one that is {recoding.stage}")
            return _end(connection, recoding, recoding.new, recoding.old)

    def sweep(self, job: Job) -> Job:
        """Delete some of the items of a collection that is gone, then let others write for a moment."""
        started = monotonic()
        with self._writer.writing() as connection:
            deadline = monotonic() + REMOVING_SECONDS
            done = 0
            while not done or monotonic() < deadline:
                found = connection.execute(
                    "SELECT sequence FROM items WHERE collection = ? LIMIT ?", (job.subject, REMOVED_AT_ONCE)
                ).fetchall()
                statements.remove_rows(connection, [sequence for (sequence,) in found])
                done += len(found)
                if len(found) < REMOVED_AT_ONCE:
                    break
            statements.note_change(connection, job.subject)
            job = replace(job, done=job.done + done, seconds=job.seconds + monotonic() - started, waits_for=None)
            if len(found) < REMOVED_AT_ONCE:
                return jobs.end(connection, replace(job, total=job.done), "succeeded")
            job = jobs.update(connection, job)
        sleep(PAUSE_SECONDS)
        return job


def _required(connection: Connection, collection: int) -> Recoding:
    row = statements.require_collection(connection, collection)
    recoding = recodings.of(connection, collection)
    if recoding is None:
        raise UnknownRecodingError(f"expected a collection that is being re-coded, {row.name!r} is not")
    return recoding


def _there(connection: Connection, sequences: Mapping[int, StoredItem], hidden: Sequences) -> set[int]:
    rows = connection.execute(
        "SELECT sequence FROM items WHERE sequence IN (SELECT value FROM json_each(?))", (listed(sequences),)
    )
    return {sequence for (sequence,) in rows if not is_hidden(hidden, sequence)}


def told_missing(missing: int) -> str | None:
    """What has to be done about items that the new hasher refused, None where there are none."""
    if not missing:
        return None
    return (
        f"{missing} items are refused by the new hasher; write them anew or delete them, and switch, or switch "
        "`without_refused`, or roll back"
    )


def _switch(connection: Connection, recoding: Recoding) -> None:
    _swap(connection, recoding.old, recoding.new)
    recodings.put(connection, replace(recoding, stage="switched"))
    statements.note_change(connection, recoding.new)


def _swap(connection: Connection, named: int, hidden: int) -> None:
    """Give the name of one collection to another: at no moment is there none of that name, or two."""
    before, after = (statements.require_collection(connection, each) for each in (named, hidden))
    statements.update_collection(connection, replace(before, name=HIDDEN))
    statements.update_collection(connection, replace(after, name=before.name))


def _end(connection: Connection, recoding: Recoding, kept: int, gone: int) -> Job:
    """Forget a re-coding and one of its collections, whose items are discarded by a job."""
    row = statements.require_collection(connection, kept)
    other = statements.require_collection(connection, gone)
    recodings.drop(connection, recoding)
    # Followers let go of it at once, whatever is still to be deleted.
    connection.execute("DELETE FROM collections WHERE number = ?", (gone,))
    statements.note_change(connection, gone)
    about = f"codes by {other.settings.hasher}"
    return jobs.insert(connection, jobs.new("discard", row.name, gone, about, None))

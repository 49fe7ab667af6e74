"""Where a re-coding ends, or is switched: the stage says who is to have the name, and what follows can be done again.

So it is done by whoever comes by where the one that changed the stage was killed: each step finds out itself whether
there is anything to do.
"""

from contextlib import suppress
from dataclasses import replace
from time import time

from service.milvus.marks import DELETED, Mark, Marks, Stage, ended
from service.milvus.names import Names
from service.milvus.table import STRONG
from service.store import jobs
from service.store.errors import UnknownCollectionError
from service.store.jobs import Job, State


class Endings:
    """Safe to use from many threads."""

    def __init__(self, names: Names, marks: Marks) -> None:
        self._names = names
        self._marks = marks

    def end(self, mark: Mark, stage: Stage, state: State = "cancelled", detail: str | None = None) -> Mark | None:
        """Take a re-coding to a stage in which it is over, its job in that state where it was not over yet.

        Returns it with the job that discards what is not kept; None where somebody else changed the stage.
        """
        gone = mark.other(mark.new if stage == "done" else mark.old)
        job = ended(mark.job, state, DELETED if stage == "gone" else detail)
        discard = None if stage == "gone" else self._discard(mark, gone)
        # First: what is over may be swept away in the next moment, by another replica.
        noted = self._marks.note(replace(mark, progress=replace(mark.progress, job=job), discard=discard))
        moved = None if noted is None else self._marks.advance(noted, stage)
        if moved is not None:
            self.settle(moved)
        return moved

    def settle(self, mark: Mark) -> None:
        """Give the name to what is to have it, and what is kept back to itself; nothing where that is done."""
        now = self._names.row(mark.name)
        if now is None or now.number not in (mark.old, mark.new) or mark.stage in ("begun", "coding", "ready"):
            return
        if mark.stage == "gone":
            self._names.take(mark.name)
            return
        if now.number != mark.named and self._is_still(mark):
            self._names.pass_on(mark.name, mark.named)
        if mark.over:
            self.forget(mark.named, mark.number)

    def forget(self, number: int, recoding: int) -> None:
        """Have nobody take a collection for a part of a re-coding that is over; nothing where it is part of another."""
        with suppress(UnknownCollectionError):
            if self._names.numbered(number).recoding == recoding:
                self._names.note_recoding(number, None)

    def sweep(self, mark: Mark) -> list[Job]:
        """Delete what is not kept of one that is over; returns its jobs, which are over then."""
        started = time()
        self.settle(mark)
        for number in {mark.old, mark.new} - {mark.kept}:
            self._names.drop(number)
        # A switch that was asked for before, and comes late, has nothing to give the name to from now on.
        self.settle(mark)
        job = ended(mark.job, "cancelled", DELETED if mark.stage == "gone" else None)
        discard = mark.discard
        if discard is None:
            return [job]
        done = replace(discard, done=discard.total or 0, started=started, seconds=time() - started)
        return [job, ended(done, "succeeded", None)]

    def _is_still(self, mark: Mark) -> bool:
        """Whether nobody took it further since it was read."""
        now = self._marks.find(mark.number)
        return now is not None and now.stage == mark.stage

    def _discard(self, mark: Mark, gone: int) -> Job:
        count = 0
        with suppress(UnknownCollectionError):
            count = self._names.table(self._names.numbered(gone)).count(level=STRONG)
        about = f"codes by {mark.new_hasher if gone == mark.new else mark.old_hasher}"
        return replace(jobs.new("discard", mark.name, gone, about, count), number=new_job_number())


def new_job_number() -> int:
    """One that is higher than those before, of whatever replica: microseconds since 1970."""
    return int(time() * 1_000_000)

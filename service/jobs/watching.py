"""Work of this process that is told of as a job: counted where it is done, written down by a thread beside it.

What is over within a second is never written down, and what goes on once a second at most, so that to be watched costs
the work nothing. It lives in its process alone: what a process leaves unfinished was interrupted.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic, sleep, time
from types import TracebackType
from typing import Any

from models.errors import HammingwayError
from service.errors import ConflictError, StoppingError
from service.jobs.holding import Holding, Ledger
from service.store import jobs
from service.store.jobs import FIRST_ERRORS, ItemError, Job, Kind
from service.threads.runs import AbandonedError

FROM_SECONDS = 1.0
LOOK_SECONDS = 0.5
NOTED_EACH_SECONDS = 1.0
PATIENCE_SECONDS = 1.0
SHORT_SECONDS = 0.02
CLIENT_GONE, STOPPED = "the client went away", "the service stopped"
log = logging.getLogger(__name__)


class JobCancelledError(ConflictError):
    """Somebody cancelled the job that this is the work of."""


class Watched:
    """One piece of work: `with` it, one thread at a time counts; what is raised in the block is how it ended.

    It is cancelled by being told so: `require_going` raises then.
    """

    def __init__(self, job: Job, ledger: Ledger) -> None:
        """A `job` with a number is written down already."""
        # Changed by who does the work alone.
        self._job = job
        self._from = monotonic()
        # Changed by who writes it down alone, who holds this: nothing must be noted after the end.
        self._writing = threading.Lock()
        self._ledger = ledger
        self._number, self._owner = job.number, job.owner
        self._asked = self._noted_at = self._from
        self._kept: Job | None = None
        self._cancelled = self._stopped = False

    def __enter__(self) -> "Watched":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)

    @property
    def job(self) -> Job:
        """The job as it is now; its number is 0 as long as it is not written down."""
        now = replace(self._job, number=self._number, owner=self._owner)
        return replace(now, seconds=monotonic() - self._from) if now.state == "running" else now

    @property
    def is_noted(self) -> bool:
        """Whether it is written down."""
        return bool(self._number)

    def start(self) -> None:
        """Begin with work that was queued."""
        self._from = monotonic()
        self._change(state="running", started=time())

    def expect(self, total: int) -> None:
        """Say how many items it is about."""
        self._change(total=total)

    def reach(self, done: int) -> None:
        """Have done so many items by now."""
        self._change(done=done)

    def advance(self, done: int, errors: Sequence[ItemError] = ()) -> None:
        """Have done so many more items, those with errors among them."""
        job = self._job
        first = (*job.first_errors, *errors[:FIRST_ERRORS])[:FIRST_ERRORS]
        self._change(done=job.done + done, errors=job.errors + len(errors), first_errors=first)

    def require_going(self) -> None:
        """Raise JobCancelledError where it was cancelled, StoppingError where the service stops."""
        if self._stopped:
            raise StoppingError("expected a service that goes on, this one stops")
        if self._cancelled:
            raise JobCancelledError(f"expected job {self._number} to go on, it was cancelled")

    def cancel(self) -> None:
        """Have the work be told, at the next time that it asks."""
        self._cancelled = True

    def stop(self) -> None:
        """Have the work be told that the service stops."""
        self._stopped = True

    def finish(self, work: Callable[[int], int]) -> int:
        """Do the last part of the work, which writes down itself that it is done; returns how many items it did.

        `work` is given the job's number, 0 where it is not written down. Nothing is written down beside it: who cancels
        comes before it, or too late.
        """
        with self._writing:
            self.require_going()
            done = work(self._number)
        self.reach(done)
        return done

    def end(self, error: BaseException | None = None, result: dict[str, Any] | None = None) -> Job:
        """Write down that it is over, and why; returns what is known of it then: it may have been cancelled before.

        What cannot be written down now the thread beside tries again.
        """
        self.mark_end(error, result)
        with suppress(HammingwayError):
            self.note()
        return self._kept or self.job

    def mark_end(self, error: BaseException | None = None, result: dict[str, Any] | None = None) -> None:
        """As `end`, where nothing may be waited for: the thread beside writes it down."""
        if self._job.unfinished:
            self._job = _ended(replace(self.job, result=result), error)

    def note(self, at_once: bool = False) -> bool:
        """Write down what is new, if it is time or has to be; returns whether nothing is left to write.

        Raises what keeps it from that.
        """
        with self._writing:
            job = self.job
            if self._kept is not None:
                return True
            if not self._number:
                if job.unfinished and (at_once or monotonic() - self._asked >= FROM_SECONDS):
                    added = self._ledger.add(job)
                    self._number, self._owner = added.number, added.owner
                    self._noted_at = monotonic()
                return not job.unfinished
            if not job.unfinished or monotonic() - self._noted_at >= NOTED_EACH_SECONDS:
                self._update(job)
            return not job.unfinished

    def _update(self, job: Job) -> None:
        # First, so that a full disk is not asked more often than a free one.
        self._noted_at = monotonic()
        kept = self._ledger.note(self._number, lambda before: _merged(before, job))
        if kept is not None:
            # Another one than before where it was held, and is written down by now.
            self._number = kept.number
        if kept is None or not kept.unfinished:
            self._cancelled = True
        if not job.unfinished:
            self._kept = kept or job

    def _change(self, **changes: Any) -> None:
        self._job = replace(self._job, **changes)


class Watching:
    """All of this process's work that is told of; its thread writes it down until it is closed."""

    def __init__(self, ledger: Ledger, owner: Callable[[], str], beside: Callable[[], None]) -> None:
        """`owner` names this process; what is `beside` is done by the thread at each look, too."""
        self._ledger = Holding(_Owned(ledger, owner))
        self._beside = beside
        self._guard = threading.Lock()
        self._watched: list[Watched] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write down."""
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Have all work that is under way end, or be told to have been interrupted where it does not."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)
        for watched in self._all():
            watched.stop()
        deadline = monotonic() + PATIENCE_SECONDS
        while self._all() and monotonic() < deadline:
            self._note()
            sleep(SHORT_SECONDS)
        for watched in self._all():
            watched.mark_end(StoppingError(STOPPED))
        self._note()

    def watch(self, kind: Kind, collection: str, about: str = "", total: int | None = None) -> Watched:
        """Tell of work that is begun now, from its first second on."""
        job = replace(jobs.new(kind, collection, 0, about, total), state="running", started=time())
        return self._add(Watched(job, self._ledger))

    def queue(self, kind: Kind, collection: str, about: str = "") -> Watched:
        """Tell at once of work that this process will begin; raises what keeps it from being written down."""
        # Not held where it cannot be written: nobody will begin it then.
        return self._add(Watched(self._ledger.add_now(jobs.new(kind, collection, 0, about, None)), self._ledger))

    def now(self) -> dict[int, Watched]:
        """What is told of and not over, by its number."""
        return {watched.job.number: watched for watched in self._all() if watched.job.number}

    def held(self) -> list[Job]:
        """What could not be written down yet and is known here alone, as it is now, the newest first."""
        return self.as_now(self._ledger.held())

    def number(self, number: int) -> int:
        """The number of a job that was held, as it is written down by now; of any other its own."""
        return self._ledger.number(number)

    def as_now(self, found: Iterable[Job]) -> list[Job]:
        """Jobs that are known of, each with what this process knows more of it."""
        watched = self.now()
        return [watched[job.number].job if job.unfinished and job.number in watched else job for job in found]

    def cancel(self, number: int) -> Job | None:
        """End a job of any process in the ledger; returns it as it is then, None where nobody knows it.

        Raises ConflictError where that cannot be.
        """

        def end(before: Job) -> Job:
            # What was not written down yet is known here: that it has begun, and how far it is.
            own = self.now().get(before.number)
            known = before if own is None or not own.job.unfinished else _merged(before, own.job)
            return jobs.cancelled(known)

        cancelled = self._ledger.note(number, end)
        if cancelled is not None and (watched := self.now().get(cancelled.number)) is not None:
            watched.cancel()
        return cancelled

    def _add(self, watched: Watched) -> Watched:
        with self._guard:
            self._watched.append(watched)
        return watched

    def _all(self) -> list[Watched]:
        with self._guard:
            return list(self._watched)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self._note()
            try:
                self._beside()
            except Exception:
                log.exception("jobs could not be looked after")

    def _note(self) -> None:
        for watched in self._all():
            try:
                over = watched.note()
            except Exception as error:
                # A full disk takes no note of it; until it does, this process alone tells of it.
                log.warning("a job could not be written down: %s", error)
            else:
                if over:
                    with self._guard:
                        self._watched = [each for each in self._watched if each is not watched]
        try:
            self._ledger.write()
        except Exception as error:
            log.warning("a job could not be written down: %s", error)


class _Owned:
    """A ledger, for jobs of this process."""

    def __init__(self, ledger: Ledger, owner: Callable[[], str]) -> None:
        self._ledger = ledger
        self._owner = owner
        self.note = ledger.note

    def add(self, job: Job) -> Job:
        return self._ledger.add(replace(job, owner=self._owner()))


def told(error: BaseException) -> str:
    """What a job says that failed by an error: of one that was not foreseen the log says more."""
    if isinstance(error, HammingwayError):
        return f"{error.title}: {error}"
    return "the service failed; its log says more"


def _ended(job: Job, error: BaseException | None) -> Job:
    match error:
        case None:
            return replace(job, state="succeeded", ended=time())
        case JobCancelledError():
            return replace(job, state="cancelled", detail=jobs.left(job), ended=time())
        case AbandonedError() | GeneratorExit():
            return jobs.interrupted(job, f"{CLIENT_GONE}: {jobs.left(job)}")
        case Exception() if not isinstance(error, StoppingError):
            return replace(job, state="failed", detail=told(error), ended=time())
        case _:
            # Or a task that a stop cut off, as it was late: what it awaited may be done, and is not counted.
            return jobs.interrupted(job, f"{STOPPED}: {jobs.left(job, at_least=True)}")


def _merged(before: Job, now: Job) -> Job:
    """What a job is, by what was known of it and by what its process knows: one that was cancelled stays so."""
    now = replace(now, owner=before.owner)
    if before.unfinished:
        return now
    if before.state != "cancelled" or now.unfinished:
        return before
    return replace(now, state="cancelled", detail=jobs.left(now), result=None, ended=before.ended)

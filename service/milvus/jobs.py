"""The jobs of a Milvus that all replicas share: one of them does one after the other, another goes on with them."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic, time

from models.errors import HammingwayError
from models.folder import DamagedHasherError
from service.errors import ConflictError, MissingHasherError, StoreUnavailableError, UnknownJobError
from service.jobs.watching import told
from service.milvus.endings import Endings
from service.milvus.ledger import Ledger
from service.milvus.leftovers import Leftovers
from service.milvus.marks import Mark, Marks
from service.milvus.recoding import MilvusRecodings
from service.store import jobs
from service.store.errors import ChangedMeanwhileError, StoreBusyError
from service.store.jobs import Job, Kind, State

POLL_SECONDS = 0.5
# Longer than it takes to make a collection, or to delete one.
SWEPT_EACH_SECONDS = 600.0
# What passes by itself, or by somebody's help: the job waits, longer each time.
PASSING = (ChangedMeanwhileError, DamagedHasherError, MissingHasherError, StoreBusyError, StoreUnavailableError)
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 30.0
PATIENCE_SECONDS = 2.0
log = logging.getLogger(__name__)


class MilvusJobs:
    """One per process. Its thread looks for work; of all replicas the one whose turn it is does it."""

    def __init__(
        self, marks: Marks, ledger: Ledger, endings: Endings, recodings: MilvusRecodings, leftovers: Leftovers
    ) -> None:
        self._marks = marks
        self._leftovers = leftovers
        self._ledger = ledger
        self._endings = endings
        self._recodings = recodings
        self._sweep_at = monotonic()
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        # By number: not before that moment, as of `monotonic`, and the wait after the next failure.
        self._waits: dict[int, tuple[float, float]] = {}

    def start(self) -> None:
        """Begin to look for work."""
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Have the thread end after the step that it is at; waits a moment for it."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_SECONDS)

    def wake(self) -> None:
        """Look for work now: there is some."""
        self._wanted.set()

    def all(self, collection: str | None = None, states: Sequence[State] = (), kinds: Sequence[Kind] = ()) -> list[Job]:
        """Jobs, the newest first: of a collection, in one of the states, of one of the kinds, or all."""
        # In this order: one that is over in between is in both.
        under_way = [job for mark in self._marks.all() for job in mark.jobs()]
        known = {job.number: job for job in [*under_way, *self._ledger.ended()]}
        running = next((job.number for job in under_way if job.runs_alone), None)
        found = [_waiting(known[number], running) for number in sorted(known, reverse=True)]
        return jobs.chosen(found, collection, states, kinds)

    def get(self, number: int) -> Job:
        """One job; raises UnknownJobError."""
        found = next((job for job in self.all() if job.number == number), None)
        if found is None:
            raise UnknownJobError(f"expected the id of a job that is known, got {number}")
        return found

    def cancel(self, number: int) -> Job:
        """End a job and undo what it did; raises UnknownJobError, or ConflictError where that cannot be."""
        job = self.get(number)
        if not job.unfinished:
            raise ConflictError(f"expected a job that is not over, job {number} is")
        if job.kind != "recode":
            raise ConflictError(f"expected a job that can be cancelled, job {number} only clears up")
        while True:
            mark = next((mark for mark in self._marks.all() if mark.job.number == number), None)
            if mark is None or mark.over or mark.stage == "switched":
                raise ConflictError(f"expected a job that is not over, job {number} just ends")
            # Where it comes to another stage between the two, it is tried anew.
            if self._endings.end(mark, "back") is not None:
                self.wake()
                return self.get(number)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
                self._sweep()
            except StoreUnavailableError:
                # Requests tell of it.
                log.debug("jobs could not be looked for", exc_info=True)
            except Exception:
                # Whatever it is, the next look may find it gone; nobody else would go on with the jobs.
                log.exception("jobs could not be looked for")
            self._wanted.wait(POLL_SECONDS)
            self._wanted.clear()
        try:
            self._ledger.release()
        except HammingwayError:
            log.debug("the turn could not be given up", exc_info=True)

    def _work(self) -> None:
        """Do what can be done now, where it is this process's turn."""
        wanted = [mark for mark in self._marks.all() if self._is_to_do(mark)]
        if not wanted:
            self._ledger.release()
            return
        for mark in wanted:
            if monotonic() >= self._waits.get(mark.number, (0.0, 0.0))[0] and self._goes_on():
                self._go_on(mark)

    def _sweep(self) -> None:
        if monotonic() >= self._sweep_at:
            self._sweep_at = monotonic() + SWEPT_EACH_SECONDS
            for name in self._leftovers.sweep():
                log.info("%s was deleted: a service that was killed had left it", name)

    def _is_to_do(self, mark: Mark) -> bool:
        if mark.stage == "switched":
            # Where the one that asked for the switch was killed.
            self._endings.settle(mark)
        # A job that is over while items are still coded was ended by one that was killed before the rest of it.
        return mark.over or mark.job.unfinished or mark.stage in ("begun", "coding")

    def _goes_on(self) -> bool:
        return not self._stopping.is_set() and self._ledger.hold()

    def _go_on(self, mark: Mark) -> None:
        """Do a job until it is over, or has to wait, or the process stops."""
        try:
            # Those before it may have taken hours.
            now = next((each for each in self._marks.all() if each.number == mark.number), None)
            if now is not None and now.stage == "begun":
                mark = now
                now = self._recodings.step(now)
            if now is not None and not now.over:
                mark = now
                now = self._marks.note(_running(now)) if now.job.unfinished else self._endings.end(now, "back")
            while now is not None and not now.over and now.job.unfinished and self._goes_on():
                mark = now
                now = self._recodings.step(now)
                self._waits.pop(mark.number, None)
            if now is not None and now.over and self._ledger.archive(self._endings.sweep(now)):
                self._marks.drop(now)
        except PASSING as error:
            self._wait(mark, error)
        except Exception as error:
            log.exception("job %s failed", mark.job.number)
            self._endings.end(mark, "back", "failed", told(error))

    def _wait(self, mark: Mark, error: HammingwayError) -> None:
        _, seconds = self._waits.get(mark.number, (0.0, SHORTEST_WAIT))
        self._waits[mark.number] = monotonic() + seconds, min(2 * seconds, LONGEST_WAIT)
        log.warning("job %s waits for %.0f s: %s: %s", mark.job.number, seconds, error.title, error)
        job = replace(mark.job, waits_for=told(error))
        self._marks.note(replace(mark, progress=replace(mark.progress, job=job)))


def _running(mark: Mark) -> Mark:
    job = replace(mark.job, state="running", started=mark.job.started or time())
    return replace(mark, progress=replace(mark.progress, job=job))


def _waiting(job: Job, running: int | None) -> Job:
    return replace(job, waits_for=f"job {running}") if running and job.state == "queued" else job

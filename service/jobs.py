"""Jobs: long work, of which one runs at a time of all processes on a data folder; another may go on with it."""

import fcntl
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, time

from models.errors import HammingwayError
from models.folder import DamagedHasherError
from service.errors import ConflictError, MissingHasherError, UnknownJobError
from service.store.errors import ChangedMeanwhileError, StorageError, StorageFullError, StoreBusyError
from service.store.jobs import Job, Kind, State
from service.store.recoding_reader import RecodingReader
from service.store.recoding_writer import RecodingWriter

POLL_SECONDS = 0.5
# What passes by itself, or by somebody's help: the job waits, longer each time.
PASSING = (
    ChangedMeanwhileError,
    DamagedHasherError,
    MissingHasherError,
    StorageError,
    StorageFullError,
    StoreBusyError,
)
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 30.0
PATIENCE_SECONDS = 2.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What a kind of job consists of: steps that return the job as it is then, None where it is known no more."""

    step: Callable[[Job], Job | None]
    can_be_cancelled: bool = False


class Jobs:
    """One per process. Its thread looks for work; who holds the lock file runs it, until it stops or is killed."""

    def __init__(
        self,
        reader: RecodingReader,
        seeking: RecodingReader,
        writer: RecodingWriter,
        works: Mapping[Kind, Work],
        lock: Path,
    ) -> None:
        """`seeking` is for the thread alone."""
        self._reader = reader
        self._seeking = seeking
        self._writer = writer
        self._works = works
        self._lock = lock
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        # By number: not before that moment, as of `monotonic`, and the wait after the next failure.
        self._waits: dict[int, tuple[float, float]] = {}
        # By number, what a job waits for where that could not be written.
        self._unnoted: dict[int, str] = {}

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

    def all(self, collection: str | None = None, states: Sequence[State] = ()) -> list[Job]:
        """Jobs, the newest first: of a collection, in one of the states, or all."""
        found = self._reader.jobs()
        found = self._told(found, found)
        return [job for job in found if collection in (None, job.collection) and (not states or job.state in states)]

    def get(self, number: int) -> Job:
        """One job; raises UnknownJobError."""
        job = self._reader.job(number)
        if job is None:
            raise UnknownJobError(f"expected the id of a job that is known, got {number}")
        return self._told([job], self._reader.unfinished())[0]

    def cancel(self, number: int) -> Job:
        """End a job and undo what it did; raises UnknownJobError, or ConflictError where that cannot be."""
        job = self.get(number)
        if job.unfinished and not self._works[job.kind].can_be_cancelled:
            raise ConflictError(f"expected a job that can be cancelled, job {number} only clears up")
        self._writer.stop(number, "cancelled")
        self.wake()
        return self.get(number)

    def _told(self, jobs: list[Job], others: list[Job]) -> list[Job]:
        """Jobs with what they wait for: another one of `others`, or what a full disk took no note of."""
        noted = dict(self._unnoted)
        found = [
            replace(job, waits_for=noted.get(job.number, job.waits_for)) if job.unfinished else job for job in jobs
        ]
        running = next((job.number for job in others if job.state == "running" and job.waits_for is None), None)
        if running is None:
            return found
        return [replace(job, waits_for=f"job {running}") if job.state == "queued" else job for job in found]

    def _run(self) -> None:
        seen: int | None = None
        pending = True
        while not self._stopping.is_set():
            try:
                version = self._seeking.version()
                if pending or version != seen:
                    pending = self._work()
                    seen = version
            except Exception:
                # Whatever it is, the next look may find it gone; nobody else would go on with the jobs.
                log.exception("jobs could not be looked for")
            self._wanted.wait(POLL_SECONDS)
            self._wanted.clear()

    def _work(self) -> bool:
        """Do what can be done now; whether anything is left."""
        unfinished = self._seeking.unfinished()
        if not unfinished:
            return False
        with self._alone() as alone:
            if not alone:
                return True
            for job in unfinished:
                if monotonic() >= self._waits.get(job.number, (0.0, 0.0))[0]:
                    self._go_on(job)
        return True

    def _go_on(self, job: Job) -> None:
        """Run a job until it is over, or has to wait, or the process stops."""
        work = self._works[job.kind]
        try:
            now = self._writer.note(job.number, _running)
            while now is not None and now.unfinished and not self._stopping.is_set():
                now = work.step(now)
                self._waits.pop(job.number, None)
                self._unnoted.pop(job.number, None)
        except PASSING as error:
            self._wait(job, error)
        except Exception as error:
            log.exception("job %s failed", job.number)
            known = isinstance(error, HammingwayError)
            told = f"{error.title}: {error}" if known else "the service failed; its log says more"  # type: ignore[attr-defined]
            # One that was cancelled meanwhile is over already.
            with suppress(ConflictError):
                self._writer.stop(job.number, "failed", told)

    def _wait(self, job: Job, error: HammingwayError) -> None:
        _, seconds = self._waits.get(job.number, (0.0, SHORTEST_WAIT))
        self._waits[job.number] = monotonic() + seconds, min(2 * seconds, LONGEST_WAIT)
        log.warning("job %s waits for %.0f s: %s: %s", job.number, seconds, error.title, error)
        told = f"{error.title}: {error}"
        try:
            self._writer.note(job.number, lambda now: replace(now, waits_for=told))
            self._unnoted.pop(job.number, None)
        except HammingwayError:
            # A full disk takes no note of it either: this process alone tells it.
            self._unnoted[job.number] = told

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether this process runs jobs until the block ends: no other one does then."""
        with self._lock.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _running(job: Job) -> Job:
    return replace(job, state="running", started=job.started or time())

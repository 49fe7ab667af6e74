"""Jobs: long work, of which one runs at a time of all processes on a data folder; another may go on with it.

But for those that their process alone can do, which are told of here and done elsewhere: see `watching`.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, time

from models.errors import HammingwayError
from models.folder import DamagedHasherError
from service.errors import ConflictError, MissingHasherError, UnknownJobError
from service.jobs.living import Living
from service.jobs.watching import Watched, Watching, told
from service.store import jobs
from service.store.errors import ChangedMeanwhileError, StorageError, StorageFullError, StoreBusyError
from service.store.jobs import Job, Kind, State
from service.store.jobs_writer import JobsWriter
from service.store.recoding_reader import RecodingReader
from service.store.recoding_writer import RecodingWriter
from service.store.turns import turn
from service.threads.runs import AbandonedError

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
PROCESS_GONE = "the process that did it is gone"
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
        rows: JobsWriter,
        works: Mapping[Kind, Work],
        lock: Path,
        watching: Watching,
    ) -> None:
        """`seeking` is for the thread alone."""
        self._reader = reader
        self._seeking = seeking
        self._writer = writer
        self._rows = rows
        self._works = works
        self._lock = lock
        self._watching = watching
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        # By number: not before that moment, as of `monotonic`, and the wait after the next failure.
        self._waits: dict[int, tuple[float, float]] = {}
        # By number, what a job waits for where that could not be written.
        self._unnoted: dict[int, str] = {}

    def start(self) -> None:
        """Begin to look for work, and to tell of it."""
        self._watching.start()
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

    def watch(self, kind: Kind, collection: str, about: str = "", total: int | None = None) -> Watched:
        """Tell of work that this process begins now, from its first second on."""
        return self._watching.watch(kind, collection, about, total)

    def queue(self, kind: Kind, collection: str, about: str = "") -> Watched:
        """Tell at once of work that this process will begin."""
        return self._watching.queue(kind, collection, about)

    def all(self, collection: str | None = None, states: Sequence[State] = (), kinds: Sequence[Kind] = ()) -> list[Job]:
        """Jobs, the newest first: of a collection, in one of the states, of one of the kinds, or all."""
        # First, so that one that is written down meanwhile is found in one of the two at least.
        held = self._watching.held()
        found = self._reader.jobs()
        numbers = {job.number for job in found}
        held = [job for job in held if self._watching.number(job.number) not in numbers]
        return jobs.chosen([*held, *self._told(found, found)], collection, states, kinds)

    def get(self, number: int) -> Job:
        """One job; raises UnknownJobError."""
        held = next((job for job in self._watching.held() if job.number == number), None)
        if held is not None:
            return held
        job = self._reader.job(self._watching.number(number))
        if job is None:
            raise UnknownJobError(f"expected the id of a job that is known, got {number}")
        return self._told([job], self._reader.unfinished())[0]

    def cancel(self, number: int) -> Job:
        """End a job and undo what it did; raises UnknownJobError, or ConflictError where that cannot be."""
        job = self.get(number)
        if job.owner is not None:
            cancelled = self._watching.cancel(number)
            assert cancelled is not None  # nosec B101  # for the type checker
            return cancelled
        if job.unfinished and not self._works[job.kind].can_be_cancelled:
            raise ConflictError(f"expected a job that can be cancelled, job {number} only clears up")
        self._writer.stop(number, "cancelled")
        self.wake()
        return self.get(number)

    def _told(self, found: list[Job], others: list[Job]) -> list[Job]:
        """Jobs with what this process knows more of them, and what they wait for.

        That is another one of `others`, or what a full disk took no note of.
        """
        noted = dict(self._unnoted)
        running = next((job.number for job in others if job.runs_alone), None)

        def tell(job: Job) -> Job:
            if not job.unfinished or job.owner is not None:
                return job
            waits_for = noted.get(job.number, job.waits_for)
            return replace(job, waits_for=f"job {running}" if running and job.state == "queued" else waits_for)

        return [tell(job) for job in self._watching.as_now(found)]

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
        unfinished = [job for job in self._seeking.unfinished() if job.owner is None]
        if not unfinished:
            return False
        with turn(self._lock) as alone:
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
            now = self._rows.note(job.number, _running)
            while now is not None and now.unfinished and not self._stopping.is_set():
                now = work.step(now)
                self._waits.pop(job.number, None)
                self._unnoted.pop(job.number, None)
        except AbandonedError:
            # Ended while it was at a step, of which nothing was written.
            log.info("job %s was ended", job.number)
        except PASSING as error:
            self._wait(job, error)
        except Exception as error:
            log.exception("job %s failed", job.number)
            # One that was cancelled meanwhile is over already.
            with suppress(ConflictError):
                self._writer.stop(job.number, "failed", told(error))

    def _wait(self, job: Job, error: HammingwayError) -> None:
        _, seconds = self._waits.get(job.number, (0.0, SHORTEST_WAIT))
        self._waits[job.number] = monotonic() + seconds, min(2 * seconds, LONGEST_WAIT)
        log.warning("job %s waits for %.0f s: %s: %s", job.number, seconds, error.title, error)
        why = told(error)
        try:
            self._rows.note(job.number, lambda now: replace(now, waits_for=why) if now.unfinished else now)
            self._unnoted.pop(job.number, None)
        except HammingwayError:
            # A full disk takes no note of it either: this process alone tells it.
            self._unnoted[job.number] = why


class Orphans:
    """Jobs whose process is gone: whoever notices says so. `reader` is for the one thread that looks."""

    def __init__(self, reader: RecodingReader, rows: JobsWriter, living: Living) -> None:
        self._reader = reader
        self._rows = rows
        self._living = living
        self._seen: int | None = None
        self._others = True

    def look(self) -> None:
        """Note what was interrupted; takes microseconds as long as no other process has such jobs."""
        version = self._reader.version()
        if version == self._seen and not self._others:
            return
        others = False
        for job in self._reader.unfinished():
            if job.owner is not None and not self._living.is_own(job.owner):
                others = True
                if not self._living.lives(job.owner):
                    self._rows.note(job.number, _orphaned)
        # Last: what fails before is looked for again.
        self._seen, self._others = version, others


def _orphaned(job: Job) -> Job:
    detail = f"{PROCESS_GONE}: {jobs.left(job, at_least=True)}"
    return jobs.interrupted(job, detail) if job.unfinished else job


def _running(job: Job) -> Job:
    return replace(job, state="running", started=job.started or time()) if job.unfinished else job

"""The rows of jobs: long work with its progress. Of each kind, the jobs that ended last are kept.

Some are done by whichever process comes by, and gone on with after a restart. The others have an owner, which alone
can do them: they end with it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from sqlite3 import Connection
from time import time
from typing import Any, Literal, get_args

import orjson

from service.errors import ConflictError
from service.store.checksums import job_checksum, require

Kind = Literal["recode", "discard", "build", "snapshot", "import", "duplicates", "delete"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
UNFINISHED: tuple[State, ...] = ("queued", "running")
STATES: tuple[State, ...] = get_args(State)
KINDS: tuple[Kind, ...] = get_args(Kind)
ENDED = tuple(state for state in STATES if state not in UNFINISHED)
EVERY = "SELECT number, state, content, checksum FROM jobs"
# Of each kind: an import an hour must not make a re-coding be forgotten.
ENDED_KEPT = 200
FIRST_ERRORS = 10
# FAISS's k-means is done or not; the others ask now and then.
NEVER_CANCELLED: tuple[Kind, ...] = ("build",)
# What is left of a job that was cut off; of an import that is counted.
LEFT: dict[Kind, str] = {
    "build": "every process that needs the index builds it anew",
    "snapshot": "nothing is left of it",
    "duplicates": "its reply was cut off, ask anew",
    "delete": "ask for it again, and what is left is deleted",
}


@dataclass(frozen=True)
class ItemError:
    """An item that could not be worked on, by its id, or by its line where that is all there is, and why."""

    id: str | None
    detail: str
    line: int | None = None


@dataclass(frozen=True)
class Job:
    """Work on the collection numbered `subject`, if it is to be known; `collection` is the name it was asked for by.

    `done` of `total` items, None where nobody knows how many, took `seconds` of work, over all restarts. Times are
    seconds since 1970, UTC. `owner` is the process that alone can do it, None where any can; `result` is what it made.
    """

    number: int
    kind: Kind
    collection: str
    subject: int
    about: str
    total: int | None
    created: float
    state: State = "queued"
    done: int = 0
    seconds: float = 0.0
    errors: int = 0
    first_errors: tuple[ItemError, ...] = ()
    started: float | None = None
    ended: float | None = None
    waits_for: str | None = None
    detail: str | None = None
    owner: str | None = None
    result: dict[str, Any] | None = None

    @property
    def unfinished(self) -> bool:
        """Whether there is anything left to do."""
        return self.state in UNFINISHED

    @property
    def runs_alone(self) -> bool:
        """Whether others wait for it: those that any process can do are done one after the other."""
        return self.owner is None and self.state == "running" and self.waits_for is None

    @property
    def rate(self) -> float | None:
        """Items a second of work, None before the first."""
        return self.done / self.seconds if self.done and self.seconds else None


def new(kind: Kind, collection: str, subject: int, about: str, total: int | None) -> Job:
    """A job that nobody has begun; it gets its number when it is written."""
    return Job(0, kind, collection, subject, about, total, time())


def left(job: Job, at_least: bool = False) -> str:
    """What a job that was cut off leaves; `at_least` where it had not told of all that it did."""
    indexed = f"{job.done - job.errors} items{' at least' if at_least else ''} were indexed"
    return LEFT.get(job.kind, indexed)


def interrupted(job: Job, detail: str) -> Job:
    """A job that was cut off."""
    return replace(job, state="interrupted", detail=detail, waits_for=None, ended=time())


def cancelled(job: Job) -> Job:
    """A job that is cancelled, of which its process learns, and completes it.

    Raises ConflictError where it is over, or is of a kind that does not ask.
    """
    if not job.unfinished:
        raise ConflictError(f"expected a job that is not over, job {job.number} is")
    if job.kind in NEVER_CANCELLED:
        raise ConflictError(f"expected a job that can be cancelled, a {job.kind} goes on to its end")
    return replace(job, state="cancelled", detail=left(job, at_least=True), waits_for=None, ended=time())


def chosen(found: Iterable[Job], collection: str | None, states: Sequence[State], kinds: Sequence[Kind]) -> list[Job]:
    """Those of a collection, in one of the states, of one of the kinds; None and nothing are all.

    Of more jobs than are kept, the newest are chosen from.
    """
    return [
        job
        for job in newest(found)
        if collection in (None, job.collection)
        and (not states or job.state in states)
        and (not kinds or job.kind in kinds)
    ]


def newest(found: Iterable[Job]) -> list[Job]:
    """The jobs, in their order, without those that ended and are not among the last ENDED_KEPT of their kind to end."""
    known = list(found)
    counts: Counter[Kind] = Counter()
    old: set[int] = set()
    for job in sorted(known, key=lambda job: (job.ended or 0.0, job.number), reverse=True):
        if not job.unfinished:
            counts[job.kind] += 1
            if counts[job.kind] > ENDED_KEPT:
                old.add(job.number)
    return [job for job in known if job.number not in old]


def insert(connection: Connection, job: Job) -> Job:
    """Write a new job, which is returned with its number."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
    job = replace(job, number=row[0] + 1 if row else 1)
    content = _content(job)
    connection.execute(
        "INSERT INTO jobs (number, state, content, checksum) VALUES (?, ?, ?, ?)",
        (job.number, job.state, content, job_checksum(job.number, job.state, content)),
    )
    _forget_old(connection, job.kind)
    return job


def update(connection: Connection, job: Job) -> Job:
    """Write what a job is now."""
    content = _content(job)
    connection.execute(
        "UPDATE jobs SET state = ?, content = ?, checksum = ? WHERE number = ?",
        (job.state, content, job_checksum(job.number, job.state, content), job.number),
    )
    if not job.unfinished:
        _forget_old(connection, job.kind)
    return job


def _forget_old(connection: Connection, kind: Kind) -> None:
    """Delete what `newest` leaves out."""
    # One that is damaged has no kind, and stays: it is told when it is read.
    content = "CASE WHEN json_valid(CAST(content AS TEXT)) THEN CAST(content AS TEXT) END"
    connection.execute(
        "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs"  # nosec B608  # constants of ours; values are parameters
        f" WHERE state NOT IN (?, ?) AND {content} ->> 'kind' = ?"
        f" ORDER BY coalesce({content} ->> 'ended', 0) DESC, number DESC LIMIT -1 OFFSET ?)",
        (*UNFINISHED, kind, ENDED_KEPT),
    )


def end(connection: Connection, job: Job, state: State, detail: str | None = None) -> Job:
    """Write that a job is over."""
    return update(connection, replace(job, state=state, detail=detail, waits_for=None, ended=time()))


def succeed(connection: Connection, number: int, done: int) -> None:
    """Write that a job is over, where it is known, in the transaction that does its work.

    Raises ConflictError where it was cancelled.
    """
    job = find(connection, number) if number else None
    if job is None:
        return
    if not job.unfinished:
        raise ConflictError(f"expected job {number} to go on, it was cancelled")
    end(connection, replace(job, done=done), "succeeded")


def find(connection: Connection, number: int) -> Job | None:
    """A job, verified, or None."""
    found = next(_jobs(connection.execute(f"{EVERY} WHERE number = ?", (number,))), None)
    if found is None:
        # One whose number is damaged must not pass for none.
        every(connection)
    return found


def every(connection: Connection) -> list[Job]:
    """All jobs, the newest first."""
    return list(_jobs(connection.execute(f"{EVERY} ORDER BY number DESC")))


def unfinished(connection: Connection) -> list[Job]:
    """Those that are queued or running, the oldest first."""
    # Whatever is not over: a damaged state must not pass for that.
    rows = connection.execute(f"{EVERY} WHERE state IS NULL OR state NOT IN (?, ?, ?, ?) ORDER BY number", ENDED)
    return list(_jobs(rows))


def _content(job: Job) -> bytes:
    return orjson.dumps({name: value for name, value in asdict(job).items() if name not in ("number", "state")})


def _jobs(rows: Any) -> Iterator[Job]:
    for number, state, content, checksum in rows:
        # Damage can make a number of what was text.
        fits = isinstance(state, str) and isinstance(content, bytes)
        require(fits and job_checksum(number, state, content) == checksum, f"job {number}")
        yield job_of({"number": number, "state": state, **orjson.loads(content)})


def job_of(given: Mapping[str, Any]) -> Job:
    """A job from what `asdict` made of it, by way of JSON."""
    errors = tuple(ItemError(**each) for each in given["first_errors"])
    return Job(**{**given, "first_errors": errors})

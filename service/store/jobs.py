"""The rows of jobs: long work with its progress, kept until newer ones take the place of those that ended."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from sqlite3 import Connection
from time import time
from typing import Any, Literal, get_args

import orjson

from service.store.checksums import job_checksum, require

Kind = Literal["recode", "discard"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
UNFINISHED: tuple[State, ...] = ("queued", "running")
STATES: tuple[State, ...] = get_args(State)
ENDED = tuple(state for state in STATES if state not in UNFINISHED)
EVERY = "SELECT number, state, content, checksum FROM jobs"
ENDED_KEPT = 200
FIRST_ERRORS = 10


@dataclass(frozen=True)
class ItemError:
    """An item that could not be worked on, and why."""

    id: str
    detail: str


@dataclass(frozen=True)
class Job:
    """Work on the collection numbered `subject`; `collection` is the name that it was asked for by.

    `done` of `total` items took `seconds` of work, over all restarts. Times are seconds since 1970, UTC.
    """

    number: int
    kind: Kind
    collection: str
    subject: int
    about: str
    total: int
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

    @property
    def unfinished(self) -> bool:
        """Whether there is anything left to do."""
        return self.state in UNFINISHED

    @property
    def rate(self) -> float | None:
        """Items a second of work, None before the first."""
        return self.done / self.seconds if self.done and self.seconds else None


def insert(connection: Connection, kind: Kind, collection: str, subject: int, about: str, total: int) -> Job:
    """Queue a job; of those that ended, the newest ENDED_KEPT are kept."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
    job = Job(row[0] + 1 if row else 1, kind, collection, subject, about, total, time())
    content = _content(job)
    connection.execute(
        "INSERT INTO jobs (number, state, content, checksum) VALUES (?, ?, ?, ?)",
        (job.number, job.state, content, job_checksum(job.number, job.state, content)),
    )
    connection.execute(
        "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs WHERE state NOT IN (?, ?) ORDER BY number DESC"
        " LIMIT -1 OFFSET ?)",
        (*UNFINISHED, ENDED_KEPT),
    )
    return job


def update(connection: Connection, job: Job) -> Job:
    """Write what a job is now."""
    content = _content(job)
    connection.execute(
        "UPDATE jobs SET state = ?, content = ?, checksum = ? WHERE number = ?",
        (job.state, content, job_checksum(job.number, job.state, content), job.number),
    )
    return job


def end(connection: Connection, job: Job, state: State, detail: str | None = None) -> Job:
    """Write that a job is over."""
    return update(connection, replace(job, state=state, detail=detail, waits_for=None, ended=time()))


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
    rows = connection.execute(f"{EVERY} WHERE state IS NULL OR state NOT IN (?, ?, ?) ORDER BY number", ENDED)
    return list(_jobs(rows))


def _content(job: Job) -> bytes:
    return orjson.dumps({name: value for name, value in asdict(job).items() if name not in ("number", "state")})


def _jobs(rows: Any) -> Iterator[Job]:
    for number, state, content, checksum in rows:
        # Damage can make a number of what was text.
        fits = isinstance(state, str) and isinstance(content, bytes)
        require(fits and job_checksum(number, state, content) == checksum, f"job {number}")
        given = orjson.loads(content)
        given["first_errors"] = tuple(ItemError(**each) for each in given["first_errors"])
        yield Job(number=number, state=state, **given)

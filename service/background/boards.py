"""What HTTP needs of re-codings and of jobs, whoever keeps the collections."""

from collections.abc import Sequence
from typing import Protocol

from service.background.recoding import State as Recoding
from service.jobs.watching import Watched
from service.store.jobs import Job, Kind, State


class Recoder(Protocol):
    """Re-codings: a collection gets the codes of another hasher."""

    def begin(self, name: str, hasher: str, automatic: bool) -> Job:
        """Have a collection coded anew; returns the job."""

    def state(self, name: str) -> Recoding:
        """The re-coding that a collection is under; raises UnknownRecodingError where there is none."""

    def switch(self, name: str, without_refused: bool = False) -> Recoding:
        """Search by the new codes; raises ConflictError unless they are ready."""

    def roll_back(self, name: str) -> Job:
        """Search by the old codes, and discard the new ones; returns the job that does."""

    def finish(self, name: str) -> Job:
        """Discard the old codes, after the switch; returns the job that does."""


class JobBoard(Protocol):
    """Jobs that all processes share: one goes on with what another leaves."""

    def start(self) -> None:
        """Begin to look for work."""

    def wake(self) -> None:
        """Look for work now: there is some."""

    def all(self, collection: str | None = None, states: Sequence[State] = (), kinds: Sequence[Kind] = ()) -> list[Job]:
        """Jobs, the newest first: of a collection, in one of the states, of one of the kinds, or all."""

    def get(self, number: int) -> Job:
        """One job; raises UnknownJobError."""

    def cancel(self, number: int) -> Job:
        """End a job and undo what it did; raises UnknownJobError, or ConflictError where that cannot be."""


class WatchedBoard(JobBoard, Protocol):
    """All jobs, those among them that a process alone can do."""

    def watch(self, kind: Kind, collection: str, about: str = "", total: int | None = None) -> Watched:
        """Tell of work that this process begins now, from its first second on."""

    def queue(self, kind: Kind, collection: str, about: str = "") -> Watched:
        """Tell at once of work that this process will begin; raises what keeps it from being written down."""

"""Jobs where there is no database to write them into: this process's own, gone with it, beside those of all."""

from collections.abc import Sequence

from service.background.boards import JobBoard
from service.jobs.holding import HERE
from service.jobs.remembered import Remembered
from service.jobs.watching import Watched, Watching
from service.store import jobs
from service.store.jobs import Job, Kind, State


class Remembering:
    """A board with what this process does beside the jobs of another board, which all processes share."""

    def __init__(self, shared: JobBoard) -> None:
        self._shared = shared
        self._own = Remembered()
        self._watching = Watching(self._own, lambda: HERE, lambda: None)

    def start(self) -> None:
        """Begin to look for work, and to tell of it."""
        self._watching.start()
        self._shared.start()

    def close(self) -> None:
        """End what is under way."""
        self._watching.close()

    def wake(self) -> None:
        """Look for work now: there is some."""
        self._shared.wake()

    def watch(self, kind: Kind, collection: str, about: str = "", total: int | None = None) -> Watched:
        """Tell of work that this process begins now, from its first second on."""
        return self._watching.watch(kind, collection, about, total)

    def queue(self, kind: Kind, collection: str, about: str = "") -> Watched:
        """Tell at once of work that this process will begin."""
        return self._watching.queue(kind, collection, about)

    def all(self, collection: str | None = None, states: Sequence[State] = (), kinds: Sequence[Kind] = ()) -> list[Job]:
        """Jobs, the newest first."""
        own = jobs.chosen(self._of_this_process(), collection, states, kinds)
        return sorted([*own, *self._shared.all(collection, states, kinds)], key=lambda job: -job.created)

    def get(self, number: int) -> Job:
        """One job; raises UnknownJobError."""
        own = next((job for job in self._of_this_process() if job.number == number), None)
        return self._shared.get(number) if own is None else own

    def cancel(self, number: int) -> Job:
        """End a job and undo what it did; raises UnknownJobError, or ConflictError where that cannot be."""
        cancelled = self._watching.cancel(number)
        return self._shared.cancel(number) if cancelled is None else cancelled

    def _of_this_process(self) -> list[Job]:
        return self._watching.as_now(self._own.all())

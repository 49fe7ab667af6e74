"""Jobs of this process in its memory, where there is no database to write them into: with the process they are gone."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import time

from service.background import JobBoard
from service.store import jobs
from service.store.jobs import ENDED_KEPT, Job, Kind, State
from service.watching import Watched, Watching

# One that was ever given by another process is not given here, or a replica would answer for another's job.
NUMBERS_A_SECOND = 1000


class Remembered:
    """A ledger; the newest of each kind that ended are kept."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._next = int(time() * NUMBERS_A_SECOND)

    def add(self, job: Job) -> Job:
        """Keep a new job, which is returned with its number."""
        with self._guard:
            job = replace(job, number=self._next)
            self._next += 1
            self._jobs[job.number] = job
            ended = [each.number for each in self._jobs.values() if each.kind == job.kind and not each.unfinished]
            for number in ended[: max(0, len(ended) - ENDED_KEPT)]:
                del self._jobs[number]
            return job

    def note(self, number: int, change: Callable[[Job], Job]) -> Job | None:
        """Change what is known of a job; returns it as it is then, None where nobody knows it."""
        with self._guard:
            if number not in self._jobs:
                return None
            self._jobs[number] = change(self._jobs[number])
            return self._jobs[number]

    def all(self) -> list[Job]:
        """All that are known, the newest first."""
        with self._guard:
            return list(reversed(self._jobs.values()))


class Remembering:
    """A board with what this process does beside the jobs of another board, which all processes share."""

    def __init__(self, shared: JobBoard) -> None:
        self._shared = shared
        self._own = Remembered()
        self._watching = Watching(self._own, lambda: "this process", lambda: None)

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
        watched = self._watching.now()
        return [watched[job.number].job if job.number in watched else job for job in self._own.all()]

"""A ledger of jobs in the memory of this process: with the process they are gone."""

import threading
from collections.abc import Callable
from dataclasses import replace
from time import time

from service.store.jobs import ENDED_KEPT, Job

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

    def forget(self, number: int) -> None:
        """Know no more of a job."""
        with self._guard:
            self._jobs.pop(number, None)

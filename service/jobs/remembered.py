"""A ledger of jobs in the memory of this process: with the process they are gone."""

import threading
from collections.abc import Callable
from dataclasses import replace
from time import time

from service.store.jobs import Job, newest

# One that was ever given by another process is not given here, or a replica would answer for another's job.
NUMBERS_A_SECOND = 1000


class Remembered:
    """A ledger; of each kind the jobs that ended last are kept."""

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
            self._forget_old()
            return job

    def note(self, number: int, change: Callable[[Job], Job]) -> Job | None:
        """Change what is known of a job; returns it as it is then, None where nobody knows it."""
        with self._guard:
            if number not in self._jobs:
                return None
            job = self._jobs[number] = change(self._jobs[number])
            if not job.unfinished:
                self._forget_old()
            return job

    def all(self) -> list[Job]:
        """All that are known, the newest first."""
        with self._guard:
            return list(reversed(self._jobs.values()))

    def _forget_old(self) -> None:
        self._jobs = {job.number: job for job in newest(self._jobs.values())}

    def forget(self, number: int) -> None:
        """Know no more of a job."""
        with self._guard:
            self._jobs.pop(number, None)

"""A ledger of jobs over another one: what a full disk takes no note of is held in memory until it does."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from models.errors import HammingwayError
from service.jobs.remembered import Remembered
from service.store.jobs import ENDED_KEPT, Job

# By whom a job is done that nobody else can know of.
HERE = "this process"
log = logging.getLogger(__name__)


class Ledger(Protocol):
    """Where jobs are written down."""

    def add(self, job: Job) -> Job:
        """Write a new job, which is returned with its number."""

    def note(self, number: int, change: Callable[[Job], Job]) -> Job | None:
        """Change what is known of a job; returns it as it is then, None where nobody knows it."""


class Holding:
    """A job that is held has a number of its own, by which it is still found here when it was given another one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Nothing must be noted of a job while it is written down.
        self._writing = threading.Lock()
        self._held = Remembered()
        self._written: dict[int, int] = {}

    def add(self, job: Job) -> Job:
        """Write a new job, or hold it where that cannot be done now."""
        try:
            return self.add_now(job)
        except (HammingwayError, OSError) as error:
            log.warning("a job could not be written down: %s", error)
            return self._held.add(replace(job, owner=HERE))

    def add_now(self, job: Job) -> Job:
        """Write a new job; raises what keeps it from being written."""
        return self._ledger.add(job)

    def note(self, number: int, change: Callable[[Job], Job]) -> Job | None:
        """Change what is known of a job, wherever it is."""
        with self._writing:
            held = self._held.note(number, change)
            return held or self._ledger.note(self.number(number), change)

    def held(self) -> list[Job]:
        """What is not written down yet, the newest first."""
        return self._held.all()

    def number(self, number: int) -> int:
        """The number of a job that was held, as it was written down; of any other its own."""
        return self._written.get(number, number)

    def write(self) -> None:
        """Write down what is held, the oldest first, as far as there is room; raises what keeps it from more."""
        for job in reversed(self.held()):
            with self._writing:
                now = self._held.note(job.number, lambda now: now)
                if now is not None:
                    self._written[job.number] = self._ledger.add(now).number
                    self._held.forget(job.number)
        for number in list(self._written)[:-ENDED_KEPT]:
            del self._written[number]

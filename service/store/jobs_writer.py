"""The transactions that write jobs down, whatever they do."""

from collections.abc import Callable

from service.store import jobs, statements
from service.store.jobs import Job
from service.store.writer import Writer


class JobsWriter:
    """Each call is one transaction."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def add(self, job: Job) -> Job:
        """Write a new job, which is returned with its number."""
        with self._writer.writing() as connection:
            return jobs.insert(connection, job)

    def note(self, number: int, change: Callable[[Job], Job]) -> Job | None:
        """Change what is known of a job; returns it as it is then, None where nobody knows it."""
        with self._writer.writing() as connection:
            job = jobs.find(connection, number)
            if job is None:
                return None
            statements.note_change(connection, job.subject)
            return jobs.update(connection, change(job))

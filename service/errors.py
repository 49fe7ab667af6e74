"""Errors of the service that are nobody else's: what is not there, what contradicts, what is too much."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import HammingwayError, InvalidInputError


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one part of a request; `where` that part stands: `items/3/id`, `line 7`."""

    where: str
    status: int
    title: str
    detail: str


class FaultsError(InvalidInputError):
    """Parts of a request that cannot be used; `faults` says which and why. Carries status and title of the first."""

    def __init__(self, outcome: str | None, faults: Sequence[Fault], indexed: int | None = None) -> None:
        """`outcome` is what was done of the request: `nothing was indexed`; `indexed` how many items were, if any."""
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        done = "" if outcome is None else f"{outcome}: "
        super().__init__(f"{done}{faults[0].where}: {faults[0].detail}{more}")
        self.indexed = indexed
        self.faults = faults
        self.status = faults[0].status
        self.title = faults[0].title


class InvalidJsonError(HammingwayError):
    """A body, or a line of one, that is not JSON."""

    status = 400
    title = "Invalid JSON"


class UnknownHasherError(HammingwayError):
    """A hasher, or a version of one, that is not there."""

    status = 404
    title = "Unknown hasher"


class MissingHasherError(HammingwayError):
    """A collection whose hasher's folder is gone."""

    status = 503
    title = "Missing hasher"


class UnknownItemError(HammingwayError):
    """An id that no item of the collection has."""

    status = 404
    title = "Unknown item"


class ConflictError(HammingwayError):
    """Something that is there already with other settings."""

    status = 409
    title = "Conflict"


class TooLargeError(HammingwayError):
    """A body, or a line of one, larger than will be read."""

    status = 413
    title = "Too large"


class BusyError(HammingwayError):
    """More requests wait than are allowed to."""

    status = 429
    title = "Too many requests"


class NotReadyError(HammingwayError):
    """Asked for too early."""

    status = 503
    title = "Not ready"


class StoppingError(HammingwayError):
    """Asked for too late: the service has been told to stop."""

    status = 503
    title = "Stopping"

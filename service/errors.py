"""Errors of the service that are nobody else's: what is not there, what contradicts, what is too much."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from models.errors import HammingwayError, InvalidInputError

# Faults that a reply lists.
MOST_LISTED = 20


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one part of a request; `where` that part stands: `items/3/id`, `line 7`."""

    where: str
    status: int
    title: str
    detail: str


def let_go(error: BaseException) -> None:
    """Have an error that tells all by itself refer to nothing of where it was raised.

    A traceback refers to the frames that it went through, and so to the body of the request and to all that was made
    of it. Where one of these refers to the error, too, they would stay until Python looks for garbage.
    """
    if isinstance(error, HammingwayError) and error.status < 500:
        error.__traceback__ = error.__context__ = error.__cause__ = None


class FaultsError(InvalidInputError):
    """Parts of a request that cannot be used; `faults` says which and why. Carries status and title of the first."""

    # Of a reply, which says how many more there are.
    most_listed: ClassVar[int | None] = MOST_LISTED

    def __init__(
        self, outcome: str | None, faults: Sequence[Fault], indexed: int | None = None, *, more: int = 0
    ) -> None:
        """`outcome` is what was done of the request: `nothing was indexed`; `indexed` how many items were, if any.

        `more` counts faults beside those that are given.
        """
        others = len(faults) - 1 + more
        also = f" (and {others} more)" if others else ""
        done = "" if outcome is None else f"{outcome}: "
        super().__init__(f"{done}{faults[0].where}: {faults[0].detail}{also}")
        self.outcome = outcome
        self.indexed = indexed
        self.faults = faults
        self.more = more
        self.status = faults[0].status
        self.title = faults[0].title

    def placed(self, place: Callable[[str], str]) -> "FaultsError":
        """The same, each fault at another place; what it is of is known by who has asked."""
        faults = [replace(fault, where=place(fault.where)) for fault in self.faults]
        return FaultsError(self.outcome, faults, self.indexed, more=self.more)


class ImportFaultsError(FaultsError):
    """Lines of an import that cannot be used: all of them are listed, as there is a limit on how many there may be."""

    most_listed = None


class InvalidJsonError(HammingwayError):
    """A body, or a line of one, that is not JSON."""

    status = 400
    title = "Invalid JSON"
    where = "body"


class InvalidEncodingError(HammingwayError):
    """A body that is not what its Content-Encoding says, or breaks off."""

    status = 400
    title = "Invalid encoding"
    where = "body"


class UnsupportedEncodingError(HammingwayError):
    """A Content-Encoding that is not read, or several."""

    status = 415
    title = "Unsupported encoding"
    where = "Content-Encoding"
    headers: ClassVar[dict[str, str]] = {"Accept-Encoding": "gzip, zstd"}


class InvalidMultipartError(HammingwayError):
    """A multipart body that cannot be taken apart."""

    status = 400
    title = "Invalid multipart"
    where = "body"


class UnknownPathError(HammingwayError):
    """A path of a URL that cannot be one of the service's."""

    status = 404
    title = "Not Found"


class UnknownHasherError(HammingwayError):
    """A hasher, or a version of one, that is not there."""

    status = 404
    title = "Unknown hasher"
    where = "hasher"


class MissingHasherError(HammingwayError):
    """A collection whose hasher's folder is gone."""

    status = 503
    title = "Missing hasher"


class UnknownItemError(HammingwayError):
    """An id that no item of the collection has."""

    status = 404
    title = "Unknown item"
    where = "id"


class UnknownItemsError(FaultsError, UnknownItemError):
    """Ids among the parts of a request that no items of the collection have."""


class ConflictError(HammingwayError):
    """Something that is there already with other settings."""

    status = 409
    title = "Conflict"


class UnknownRecodingError(HammingwayError):
    """A collection that is not being re-coded."""

    status = 404
    title = "Unknown re-coding"


class UnknownJobError(HammingwayError):
    """A job that nobody knows, or any more."""

    status = 404
    title = "Unknown job"


class TooLargeError(HammingwayError):
    """A body, or a line of one, larger than will be read."""

    status = 413
    title = "Too large"
    where = "body"


class BusyError(HammingwayError):
    """More requests wait than are allowed to."""

    status = 429
    title = "Too many requests"


class NotReadyError(HammingwayError):
    """Asked for too early."""

    status = 503
    title = "Not ready"


class KindOnlyError(HammingwayError):
    """Another error, of which only the kind is told."""

    def __init__(self, error: HammingwayError) -> None:
        super().__init__("expected the service to be ready, it is not: its log says why, or ask with a key")
        self.status = error.status
        self.title = error.title


class StoppingError(HammingwayError):
    """Asked for too late: the service has been told to stop."""

    status = 503
    title = "Stopping"


class TookTooLongError(HammingwayError):
    """Not done in the time that a request may take."""

    status = 504
    title = "Took too long"


class TooManyCollectionsError(HammingwayError):
    """One collection more than are allowed."""

    status = 409
    title = "Too many collections"


class UnauthorizedError(HammingwayError):
    """No API key, or none that is known."""

    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str, invalid: bool = False) -> None:
        """`invalid` where a key came, and is not known."""
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": 'Bearer error="invalid_token"' if invalid else "Bearer"}


class ForbiddenError(HammingwayError):
    """An API key whose role is not enough."""

    status = 403
    title = "Forbidden"

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected a key with the role {expected}, got one with the role {came}")
        self.headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{expected}"'}


class TakesLongError(Exception):
    """A search that has to read for long, where it was asked to give way then: `Wanted.hurried`."""

    def __init__(self, step: Callable[[], bool]) -> None:
        """`step` reads on for a slice of the work; once it has returned True, the search can be made."""
        super().__init__()
        self.step = step


class ForeignPageError(HammingwayError):
    """A request that a web page of somebody else had a browser make."""

    status = 403
    title = "Forbidden"

    def __init__(self, detail: str, where: str) -> None:
        """`where`: the header that tells."""
        super().__init__(detail)
        self.where = where


class StoreUnavailableError(HammingwayError):
    """A store past this machine that cannot be reached, or cannot answer now."""

    status = 503
    title = "Store unavailable"


class NotOfferedError(HammingwayError):
    """What a store cannot do."""

    status = 501
    title = "Not offered by this store"

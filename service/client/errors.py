"""What the service answered instead, as it told it."""

from collections.abc import Mapping, Sequence

import httpx

from models.errors import HammingwayError
from service.client.results import Rejected


class ServiceError(HammingwayError):
    """What the service answered, or that it could not be reached."""

    title = "Service error"

    def __init__(
        self, detail: str, status: int = 500, faults: Sequence[Mapping[str, str]] = (), indexed: int | None = None
    ) -> None:
        """`indexed` is set where an import was stopped: so many items were indexed before."""
        super().__init__(detail)
        self.status = status
        self.faults = faults
        self.indexed = indexed

    @property
    def rejected(self) -> list[Rejected]:
        """The lines of an import that were not indexed."""
        return [
            Rejected(int(fault["where"].removeprefix("line ")), fault["detail"])
            for fault in self.faults
            if fault["where"].startswith("line ")
        ]


def from_reply(answer: httpx.Response) -> ServiceError:
    """The problem detail that a reply is, or that it is none."""
    try:
        problem = answer.json()
        return ServiceError(problem["detail"], answer.status_code, problem.get("errors", ()), problem.get("indexed"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return unlike(answer)


def unlike(answer: httpx.Response) -> ServiceError:
    """A reply that is not the service's, as of a proxy."""
    return ServiceError(f"{answer.url} answered {answer.status_code}, not as Hammingway does", answer.status_code)

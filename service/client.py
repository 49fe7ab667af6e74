"""The service from Python: the calls that feed and search a collection, errors raised as they were told."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from models.errors import HammingwayError

TIMEOUT_SECONDS = 120.0
ATTEMPTS = 8
NDJSON = "application/x-ndjson"


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
    def rejected(self) -> list["Rejected"]:
        """The lines of an import that were not indexed."""
        return [
            Rejected(int(fault["where"].removeprefix("line ")), fault["detail"])
            for fault in self.faults
            if fault["where"].startswith("line ")
        ]


@dataclass(frozen=True)
class Rejected:
    """A line that was not indexed, counted from 1 in what was sent, and why."""

    line: int
    detail: str


@dataclass(frozen=True)
class Indexed:
    """What became of the lines that were sent: how many items are on disk now, and the lines that are not."""

    indexed: int
    rejected: list[Rejected]


class Client:
    """One service by its URL; `with` closes the connection."""

    def __init__(self, url: str) -> None:
        try:
            self._http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS)
        except httpx.InvalidURL as error:
            raise ServiceError(f"expected a URL like http://127.0.0.1:8000, got {url!r}: {error}") from None

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ready(self) -> bool:
        """Whether the service is there and ready."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def collection(self, name: str) -> dict[str, Any]:
        """A collection as it is; raises ServiceError with status 404 where there is none."""
        return self._call("GET", _path(name))

    def create_collection(self, name: str, **settings: Any) -> dict[str, Any]:
        """Create a collection with a `hasher` or `bits`; what is there with these settings is returned as it is."""
        return self._call("PUT", _path(name), json=settings)

    def index_lines(self, name: str, lines: Sequence[bytes]) -> Indexed:
        """Upsert items, one a line of JSON without its end; blank lines are passed over."""
        try:
            answer = self._call(
                "POST", f"{_path(name)}/index", content=b"\n".join(lines), headers={"Content-Type": NDJSON}
            )
        except ServiceError as error:
            # Where every line was bad the reply is an error that names them all.
            if not error.rejected or error.indexed is not None:
                raise
            return Indexed(0, error.rejected)
        rejected = [Rejected(line["line"], line["detail"]) for line in answer["rejected"]]
        return Indexed(answer["indexed"], rejected)

    def search(self, name: str, **request: Any) -> Any:
        """The `results` of a search request."""
        return self._call("POST", f"{_path(name)}/search", json=request)["results"]

    def snapshot(self, name: str) -> dict[str, Any]:
        """Take a snapshot of a collection; says its file's name in the service's `snapshots`, items, size, SHA-256."""
        return self._call("POST", f"{_path(name)}/snapshots", timeout=None)

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        for attempt in range(ATTEMPTS):
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                raise ServiceError(f"no answer from {self._http.base_url}: {error or type(error).__name__}") from None
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise ServiceError(f"expected a URL like http://127.0.0.1:8000: {error}") from None
            if answer.status_code != 429 or attempt == ATTEMPTS - 1:
                break
            time.sleep(float(answer.headers.get("Retry-After", 1)))
        if answer.is_success:
            content: dict[str, Any] = answer.json()
            return content
        raise _error(answer)


def _path(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}"


def _error(answer: httpx.Response) -> ServiceError:
    try:
        problem = answer.json()
        return ServiceError(problem["detail"], answer.status_code, problem.get("errors", ()), problem.get("indexed"))
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"{answer.url} answered {answer.status_code}, not as Hammingway does", answer.status_code)

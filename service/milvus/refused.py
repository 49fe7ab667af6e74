"""What is done in the background of a data folder, which there is none of: re-codings, and the jobs that do them."""

from collections.abc import Sequence

from service.errors import NotOfferedError, UnknownJobError, UnknownRecodingError
from service.milvus.backend import Milvus
from service.recoding import State as Recoding
from service.store.errors import unknown_collection
from service.store.jobs import Job, Kind, State


class NoRecodings:
    """Refuses to re-code, and says what to do in its place."""

    def __init__(self, backend: Milvus) -> None:
        self._backend = backend

    def begin(self, name: str, hasher: str, automatic: bool) -> Job:
        """Raises NotOfferedError, or UnknownCollectionError."""
        raise self._refusal(name)

    def state(self, name: str) -> Recoding:
        """Raises UnknownRecodingError, or UnknownCollectionError."""
        self._refusal(name)
        raise UnknownRecodingError(f"expected a collection that is being re-coded, {name!r} is not")

    def switch(self, name: str, without_refused: bool = False) -> Recoding:
        """Raises NotOfferedError, or UnknownCollectionError."""
        raise self._refusal(name)

    def roll_back(self, name: str) -> Job:
        """Raises NotOfferedError, or UnknownCollectionError."""
        raise self._refusal(name)

    def finish(self, name: str) -> Job:
        """Raises NotOfferedError, or UnknownCollectionError."""
        raise self._refusal(name)

    def _refusal(self, name: str) -> NotOfferedError:
        if self._backend.collection(name) is None:
            raise unknown_collection(name)
        return NotOfferedError(
            "expected a store in this machine, where collections can be re-coded: create a collection with the other "
            "hasher, and index the items into that"
        )


class NoJobs:
    """None are shared by all processes."""

    def start(self) -> None:
        """Nothing is to be done."""

    def wake(self) -> None:
        """Nothing is to be done."""

    def all(self, collection: str | None = None, states: Sequence[State] = (), kinds: Sequence[Kind] = ()) -> list[Job]:
        """None."""
        return []

    def get(self, number: int) -> Job:
        """Raises UnknownJobError."""
        raise UnknownJobError(f"expected the id of a job that is known, got {number}")

    def cancel(self, number: int) -> Job:
        """Raises UnknownJobError."""
        return self.get(number)

"""Deletes by a filter from a collection by its name, while it may be re-coded."""

from collections.abc import Callable
from typing import TypeVar

from service.collections.backend import Backend, Deletion
from service.collections.steadily import ATTEMPTS
from service.filters import Condition
from service.store.errors import UnknownCollectionError, unknown_collection
from service.store.schema import CollectionRow

T = TypeVar("T")


class NamedDeletion:
    """A deletion that starts over if the name was given to another collection meanwhile; nothing is deleted before."""

    def __init__(self, backend: Backend, name: str, condition: Condition) -> None:
        """Raises UnknownCollectionError."""
        self._backend = backend
        self._name = name
        self._condition = condition
        self._attempts = 0
        self._begin(self._row())

    @property
    def found(self) -> int:
        """How many items were found by now."""
        return self._deletion.found

    def step(self) -> bool:
        """Look on for a moment; returns whether to finish now. Raises UnknownCollectionError."""
        return self._steadily(lambda deletion: deletion.step())

    def finish(self, job: int = 0) -> int:
        """Delete; returns how many items. Raises UnknownCollectionError, and ConflictError where it was cancelled."""

        def finish(deletion: Deletion) -> int:
            while not deletion.step():
                pass
            return deletion.finish(job)

        return self._steadily(finish)

    def _steadily(self, use: Callable[[Deletion], T]) -> T:
        while True:
            try:
                return use(self._deletion)
            except UnknownCollectionError:
                row = self._row()
                self._attempts += 1
                if row.number == self._number or self._attempts > ATTEMPTS:
                    raise
                self._begin(row)

    def _begin(self, row: CollectionRow) -> None:
        self._number = row.number
        self._deletion = self._backend.deletion(row, self._condition)

    def _row(self) -> CollectionRow:
        row = self._backend.collection(self._name)
        if row is None:
            raise unknown_collection(self._name)
        return row

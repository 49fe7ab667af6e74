"""Use of a collection by its name, while it may be re-coded: then its name belongs to another row."""

from collections.abc import Callable
from typing import TypeVar

from service.errors import UnknownItemError
from service.store.errors import StoreBusyError, UnknownCollectionError, unknown_collection
from service.store.schema import CollectionRow

ATTEMPTS = 20
T = TypeVar("T")


def steadily(row_of: Callable[[str], CollectionRow | None], name: str, use: Callable[[CollectionRow], T]) -> T:
    """What `use` returns for the row of a collection; it is called again where the name has another row afterwards.

    Raises UnknownCollectionError where no collection has the name, also where it was deleted in between; StoreBusyError
    where the name passes from row to row faster than `use` returns.
    """
    for _ in range(ATTEMPTS):
        row = _required(row_of, name)
        try:
            return use(row)
        except (UnknownCollectionError, UnknownItemError):
            if _required(row_of, name).number == row.number:
                raise
    raise StoreBusyError("expected the collection to rest for a moment, it is re-coded faster than it is read")


def _required(row_of: Callable[[str], CollectionRow | None], name: str) -> CollectionRow:
    row = row_of(name)
    if row is None:
        raise unknown_collection(name)
    return row

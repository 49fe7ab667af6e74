"""What keeps collections and searches them: all that is above it is the same for each of them.

`service.collections.embedded` is SQLite and FAISS in this process, `service.milvus` a Milvus that any number of
processes share.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from models.codes import Codes
from service.coding.encoding import Coded
from service.filters import Condition
from service.ids import Ids
from service.index.collection import IndexState
from service.index.snapshot import Snapshot
from service.items import Match, Part, Wanted
from service.store.pages import Asked, Page
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem
from service.store.snapshots import Copied, Taken

# Items of the collection that is written with another, by its number.
Together = tuple[int, Sequence[StoredItem]]
Going = Callable[[], None]


class Source(Protocol):
    """A collection that is to be searched, over every write that was acknowledged before it was looked up."""

    @property
    def row(self) -> CollectionRow:
        """The collection."""

    def rank(self, queries: Sequence[Coded], wanted: Wanted, without: Sequence[str | None]) -> list[list[Match]]:
        """The nearest items of each query, as wanted, in the order (distance, id), or (score, id) where ranked anew.

        But for the id that `without` names at the query's place.
        """


class Deletion(Protocol):
    """A delete by a filter: `step` until that is true, then `finish`. Each step is short; for one thread at a time."""

    @property
    def found(self) -> int:
        """How many items were found by now."""

    def step(self) -> bool:
        """Look on; returns whether to finish now."""

    def finish(self, job: int = 0) -> int:
        """Delete; returns how many items. Raises ConflictError where the job of that number was cancelled before."""


class Backend(Protocol):
    """Safe to use from many threads. What is written is durable when the call returns, and seen by the next read.

    All that takes a row raises UnknownCollectionError where that very collection is gone.
    """

    def require_reachable(self) -> None:
        """Raise what keeps it from answering now, if anything does."""

    def collection(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None."""

    def collections(self) -> list[CollectionRow]:
        """All collections, by name."""

    def create(self, name: str, settings: CollectionSettings, most: int | None) -> CollectionRow | None:
        """Create a collection, or return None where the name is taken.

        Raises TooManyCollectionsError where there are `most` already, InvalidInputError for settings not offered.
        """

    def change_index(self, row: CollectionRow, index: IndexSettings) -> None:
        """Let a collection be searched in another way."""

    def drop(self, row: CollectionRow) -> bool:
        """Delete a collection and all its items; False where it is gone already."""

    def state(self, row: CollectionRow) -> IndexState:
        """How many items it holds, and how they are indexed."""

    @property
    def most_payload_bytes(self) -> int | None:
        """The longest payload, as JSON in UTF-8, or None of any length."""

    @property
    def most_document_bytes(self) -> int | None:
        """The longest document that is kept, or None of any length."""

    def beside(self, row: CollectionRow) -> CollectionRow | None:
        """The collection that is written with this one, while one is coded anew into the other."""

    def upsert(self, row: CollectionRow, items: Sequence[StoredItem], also: Together | None) -> None:
        """Write all items or none, each id once; `also` are the same items for the collection that is beside.

        Raises ChangedMeanwhileError where that is another one by now, or none.
        """

    def delete(self, row: CollectionRow, ids: Sequence[str]) -> int:
        """Delete items by id; returns how many were there."""

    def deletion(self, row: CollectionRow, condition: Condition) -> "Deletion":
        """A delete of the items that a filter lets through, not begun yet."""

    def item(self, row: CollectionRow, item_id: str, carried: Collection[Part] = ()) -> StoredItem | None:
        """The item of that id, with the features or the document kept of it where it is to carry them, or None."""

    def page(self, row: CollectionRow, asked: Asked) -> Page:
        """Items in the order of their ids (by code point)."""

    def look(self, name: str) -> Source | None:
        """The collection of that name, to be searched, or None."""

    def follow(self) -> None:
        """Bring what is in memory up to what was written, so that the next search need not."""

    def require_snapshots(self) -> None:
        """Raise NotOfferedError where `take_snapshot` would."""

    def take_snapshot(self, name: str, folder: Path, copied: Copied) -> Taken:
        """Write a collection, as of one moment, into a file that is verified; raises UnknownCollectionError.

        `copied` is told, again and again, how many of how many items are in it; what it raises ends it.
        """


class Moments(Protocol):
    """Reads of a whole collection, at length."""

    def codes_by_id(self, row: CollectionRow, going: Going) -> tuple[Ids, Codes]:
        """All ids, ascending (by code point), and their codes (n, bits / 8), of one moment.

        `going` is called again and again; what it raises ends the work. Raises UnknownCollectionError where
        that very collection is gone, or under another name, as after a re-coding.
        """

    def snapshot(self, name: str) -> tuple[CollectionRow, Snapshot] | None:
        """The collection of that name and all its codes, numbered in the order in which they were written, or None."""

    def features(self, row: CollectionRow, sequences: Sequence[int]) -> dict[int, bytes]:
        """Kept features by their items' numbers in such a snapshot; those removed since are left out."""

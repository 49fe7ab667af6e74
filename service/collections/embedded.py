"""Collections in this machine: SQLite is the truth, and FAISS in each process follows it."""

import itertools
from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from models.codes import Codes
from models.errors import InvalidInputError
from service.collections.backend import Going, Together
from service.filters import Condition
from service.ids import Ids
from service.index.collection import IndexState
from service.index.follower import Follower
from service.index.snapshot import Snapshot
from service.items import Part
from service.search.matching import PASSED_OVER, Matching
from service.search.ranking import Source
from service.store.deleting import Deleting
from service.store.deletions import FEW
from service.store.errors import UnknownCollectionError
from service.store.open_reads import OpenReads
from service.store.pages import Asked, Page
from service.store.reader import Reader
from service.store.recoding_reader import RecodingReader
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem
from service.store.snapshots import Copied, Taken, take
from service.store.writer import Writer
from service.telemetry.stages import Stages, untimed


@dataclass(frozen=True)
class Embedded:
    """One database and the index that follows it. `paging` and `finding` read pages and what is deleted, at length.

    `removed` is called where rows of deleted items are left to be removed.
    """

    database: Path
    writer: Writer
    reader: Reader
    paging: Reader
    finding: Reader
    pairs: RecodingReader
    follower: Follower
    matching: Matching
    removed: Callable[[], None]
    open_reads: OpenReads
    stages: Stages = untimed

    @property
    def most_payload_bytes(self) -> None:
        """Of any length."""

    @property
    def most_document_bytes(self) -> None:
        """Of any length."""

    def require_reachable(self) -> None:
        """It is in this process, but its files may be gone."""
        self.writer.require_place()

    def collection(self, name: str) -> CollectionRow | None:
        """The collection of that name, or None."""
        return self.reader.collection(name)

    def collections(self) -> list[CollectionRow]:
        """All collections, by name."""
        return self.reader.collections()

    def create(self, name: str, settings: CollectionSettings, most: int | None) -> CollectionRow | None:
        """Create a collection, or return None where the name is taken; raises as `Backend` says."""
        if settings.consistency is not None:
            detail = f"expected none, as this store has one consistency, the strong one, got {settings.consistency}"
            raise InvalidInputError(detail, "consistency")
        return self.writer.create_collection(name, replace(settings, hasher_checksum=None), most)

    def change_index(self, row: CollectionRow, index: IndexSettings) -> None:
        """Let a collection be searched in another way."""
        self.writer.change_index(row.number, index)

    def drop(self, row: CollectionRow) -> bool:
        """Delete a collection and all its items; False where it is gone already."""
        is_deleted = self.writer.delete_collection(row.number)
        self.removed()
        return is_deleted

    def state(self, row: CollectionRow) -> IndexState:
        """What is in this process's memory of it, up to every write that was committed before this call."""
        return self.follower.state(row)

    def beside(self, row: CollectionRow) -> CollectionRow | None:
        """The other half of the re-coding that it is under, if any."""
        pair = self.pairs.pair(row.number)
        if pair is None:
            return None
        return pair.new if row.number == pair.old.number else pair.old

    def upsert(self, row: CollectionRow, items: Sequence[StoredItem], also: Together | None) -> None:
        """Write all items or none."""
        self.writer.upsert(row.number, items, also)

    def delete(self, row: CollectionRow, ids: Sequence[str]) -> int:
        """Delete items by id; returns how many were there."""
        deleted = self.writer.delete(row.number, ids)
        if deleted > FEW:
            self.removed()
        return deleted

    def deletion(self, row: CollectionRow, condition: Condition) -> Deleting:
        """A delete of the items that a filter lets through: all at one moment."""
        by_ids = self.follower.state(row).count * PASSED_OVER < self.finding.highest()
        return Deleting(self.writer, self.finding, row.number, condition, by_ids)

    def item(self, row: CollectionRow, item_id: str, carried: Collection[Part] = ()) -> StoredItem | None:
        """The item of that id, with what is kept of it where it is to carry that, or None."""
        if "features" in carried or "document" in carried:
            return self.reader.whole_item(row, item_id, "document" in carried)
        return self.reader.item(row.number, item_id)

    def page(self, row: CollectionRow, asked: Asked) -> Page:
        """Items in the order of their ids, all of one moment."""
        page = self.paging.page(row.number, asked)
        now = self.reader.collection(row.name)
        if now is None or now.number != row.number:
            # Deleted, or re-coded and half discarded: what was read may not be whole.
            raise UnknownCollectionError(f"expected a collection that is there, {row.name!r} has changed meanwhile")
        return page

    def look(self, name: str) -> Source | None:
        """The collection of that name with its index, or None, as of the last commit before this call."""
        looked = self.follower.look(name)
        if looked is None:
            return None
        row, now = looked
        return Source(row, now, partial(self.follower.snapshot, row), self.reader, self.matching, self.stages)

    def follow(self) -> None:
        """Bring the index up to what was committed."""
        self.follower.catch_up()

    def require_snapshots(self) -> None:
        """They are taken."""

    def take_snapshot(self, name: str, folder: Path, copied: Copied) -> Taken:
        """A file of one collection."""
        return take(self.database, name, folder, copied, self.open_reads)


@dataclass(frozen=True)
class EmbeddedMoments:
    """Reads of whole collections; `reader` is for them alone, as one may take as long as all ids take."""

    reader: Reader
    follower: Follower

    def codes_by_id(self, row: CollectionRow, going: Going) -> tuple[Ids, Codes]:
        """All ids, ascending, and their codes (n, bits / 8), of one moment."""
        ids, sequences = Ids(), array("q")
        with self.reader.all_by_id(row.number) as blocks:
            if not self._is_named(row):
                # Deleted, or re-coded and half discarded: what the moment shows of it may not be whole.
                raise UnknownCollectionError(f"expected a collection that is there, {row.name!r} has changed meanwhile")
            # No older than the ids, and a code stays the same as long as its sequence number.
            now = self.follower.snapshot(row)
            for block in blocks:
                for sequence, item_id in block:
                    ids.append(item_id)
                    sequences.append(sequence)
                going()
        codes, here = now.codes(np.frombuffer(sequences, np.int64))
        if not here.all():
            # Removed and compacted away in the moment between the two.
            ids = _chosen(ids, here.tolist())
        return ids, codes

    def snapshot(self, name: str) -> tuple[CollectionRow, Snapshot] | None:
        """The collection of that name with its index, or None; numbers are sequence numbers."""
        return self.follower.look(name)

    def features(self, row: CollectionRow, sequences: Sequence[int]) -> dict[int, bytes]:
        """Kept features by sequence number; those removed since are left out."""
        return self.reader.features(sequences)

    def _is_named(self, row: CollectionRow) -> bool:
        looked = self.follower.look(row.name)
        return looked is not None and looked[0].number == row.number


def _chosen(ids: Ids, chosen: list[bool]) -> Ids:
    kept = Ids()
    for place in itertools.compress(range(len(ids)), chosen):
        kept.append(ids[place])
    return kept

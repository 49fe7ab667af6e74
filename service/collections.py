"""Collections: named sets of items, coded by one hasher version, or bringing their own codes of one length."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from models.errors import InvalidInputError
from models.hasher import Hasher
from service import carrying, kept_features, rescoring
from service.coding import Coded, encode
from service.comparing import Comparison, compare
from service.errors import (
    ConflictError,
    Fault,
    FaultsError,
    MissingHasherError,
    UnknownHasherError,
    UnknownItemError,
)
from service.filters import Condition, names_a_field
from service.hashers import Hashers
from service.index.collection import IndexState
from service.index.follower import Follower
from service.items import PAYLOAD, Item, Match, Part, Query, Shown, Wanted
from service.matching import Matching
from service.ranking import Source, rank
from service.stages import Stages, untimed
from service.store import pages
from service.store.errors import UnknownCollectionError
from service.store.reader import Reader
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, KeepFeatures, StoredItem
from service.store.writer import Writer

T = TypeVar("T")
LONGEST_CODE_BITS = 4096
MOST_LISTS = 65_536


@dataclass(frozen=True)
class Description:
    """A collection as callers see it; `hasher` is `name@version`, or None where items bring their own codes."""

    name: str
    bits: int
    hasher: str | None
    count: int
    index: IndexSettings
    keep_features: KeepFeatures


@dataclass(frozen=True)
class NewCollection:
    """What a collection is asked to be: with a hasher, or with codes of so many bits; None leaves it to the service."""

    hasher: str | None = None
    bits: int | None = None
    index: IndexSettings | None = None
    keep_features: KeepFeatures | None = None


@dataclass(frozen=True)
class Answer:
    """What a search found, a list for each query, and the bits and hasher (None: own codes) of the collection."""

    bits: int
    hasher: str | None
    results: list[list[Match]]


class Collections:
    """Encodes what comes in, writes it to the store, and answers from the index; safe to use from many threads."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        paging: Reader,
        follower: Follower,
        hashers: Hashers,
        matching: Matching,
        stages: Stages = untimed,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._paging = paging
        self._follower = follower
        self._hashers = hashers
        self._matching = matching
        self._stages = stages

    def create(self, name: str, wanted: NewCollection, most: int | None = None) -> tuple[Description, bool]:
        """Create a collection, bound to the hasher version meant now; also says whether it is new.

        Creating what is there again, with the same settings, changes nothing; other settings raise ConflictError.
        A hasher named without a version agrees with any version of it, and what is left to the service with anything.
        Where there are `most` collections already, a new one raises TooManyCollectionsError.
        """
        row = self._reader.collection(name)
        if row is None:
            created = self._writer.create_collection(name, self._settings(wanted), most)
            if created is not None:
                return self._describe(created), True
            row = self._row(name)
        if not _agrees(wanted, row.settings):
            raise ConflictError(f"expected the settings of {name!r}, which is there already with {_told(row.settings)}")
        return self._describe(row), False

    def change_index(self, name: str, index: IndexSettings) -> Description:
        """Let a collection be searched in another way; an IVF index is built in the background, exact until then."""
        _require_index(index)
        self._writer.change_index(self._row(name).number, index)
        return self.get(name)

    def all(self) -> list[Description]:
        """All collections, by name."""
        return [self._describe(row) for row in self._reader.collections()]

    def get(self, name: str) -> Description:
        """One collection; raises UnknownCollectionError."""
        return self._describe(self._row(name))

    def delete(self, name: str) -> None:
        """Delete a collection with all its items; raises UnknownCollectionError."""
        self._writer.delete_collection(self._row(name).number)

    def upsert(self, name: str, items: Sequence[Item]) -> None:
        """Index all items or none, on disk when this returns; raises FaultsError that names the bad ones."""
        row = self._row(name)
        with self._stages("encode"):
            usable, bad = self._encode(row, items)
        faults = [*_repeated(items), *bad.values()]
        if faults:
            raise FaultsError("nothing was indexed", faults)
        with self._stages("store"):
            self._writer.upsert(row.number, usable)

    def upsert_usable(self, name: str, items: Sequence[Item]) -> dict[int, Fault]:
        """Index the items that can be used, on disk when this returns; says what is wrong with the others, by place.

        Of several with one id the last counts.
        """
        row = self._row(name)
        with self._stages("encode"):
            usable, faults = self._encode(row, items)
        with self._stages("store"):
            self._writer.upsert(row.number, list({item.id: item for item in usable}.values()))
        return faults

    def item(self, name: str, item_id: str) -> StoredItem:
        """One item; raises UnknownItemError."""
        row = self._row(name)
        return _required(row, item_id, self._reader.item(row.number, item_id))

    def shown(self, name: str, item_id: str, carried: frozenset[Part] = PAYLOAD) -> Shown:
        """One item, with its features where they are asked for; raises UnknownItemError."""
        row = self._row(name)
        carrying.require(row, carried)
        read = self._reader.whole_item if "features" in carried else self._reader.item
        return carrying.show(_required(row, item_id, read(row.number, item_id)), carried, row.settings.keep_features)

    def page(
        self, name: str, limit: int, after: str, condition: "Condition | None", carried: frozenset[Part] = PAYLOAD
    ) -> tuple[list[Shown], str | None]:
        """At most `limit` items whose ids come after `after`, in the order of ids; and the id to go on after, if any.

        With a filter a page may come short of `limit`, or be empty, before the end.
        """
        row = self._row(name)
        carrying.require(row, carried)
        asked = pages.Asked(limit, after, condition, "features" in carried)
        page = self._paging.page(row.number, asked)
        return [carrying.show(item, carried, row.settings.keep_features) for item in page.items], page.last

    def compare(self, name: str, a: Query, b: Query) -> tuple[str | None, Comparison]:
        """Two documents, codes or items side by side, and the collection's hasher; raises FaultsError."""
        row = self._row(name)
        try:
            return row.settings.hasher, compare(*self._code_queries(row, [a, b], with_logits=True))
        except FaultsError as error:
            sides = {"queries/0": "a", "queries/1": "b"}
            faults = [replace(each, where=sides[each.where[:9]] + each.where[9:]) for each in error.faults]
            raise FaultsError("nothing was compared", faults) from None

    def delete_items(self, name: str, ids: Sequence[str]) -> int:
        """Delete items by id; returns how many were there."""
        return self._writer.delete(self._row(name).number, ids)

    def delete_matching(self, name: str, condition: Condition) -> int:
        """Delete the items that a filter lets through, all in one write; returns how many there were."""
        if not names_a_field(condition):
            raise InvalidInputError(
                "filter: expected a condition on a field, got none (to delete all items, delete the collection)"
            )
        return self._writer.delete_matching(self._row(name).number, condition)

    def search(self, name: str, queries: Sequence[Query], wanted: Wanted) -> Answer:
        """The items that are wanted for each query, in the order (distance, id), or (score, id) where ranked anew.

        A query by id does not find the item itself.
        """
        with self._stages("catch_up"):
            row, now = self._known(name, self._follower.look(name))
        carrying.require(row, wanted.carried)
        with self._stages("encode"):
            coded = self._code_queries(row, queries, wanted.rank != "hamming")
        rescoring.require(row, queries, coded, wanted.rank)
        itself = [str(query.document) if query.kind == "id" else None for query in queries]
        source = Source(row, now, partial(self._follower.snapshot, row), self._reader, self._matching, self._stages)
        return Answer(row.settings.bits, row.settings.hasher, rank(source, coded, wanted, itself) if coded else [])

    def state(self, name: str) -> tuple[Description, IndexState]:
        """A collection, and its index in this process's memory."""
        row = self._row(name)
        return self._describe(row), self._follower.state(row)

    def _encode(self, row: CollectionRow, items: Sequence[Item]) -> tuple[list[StoredItem], dict[int, Fault]]:
        """The usable items as they are stored, and what is wrong with the others, by place."""
        keep = row.settings.keep_features
        documents = [(item.kind, item.document) for item in items]
        coded, faults = encode(documents, row.settings.bits, self._hasher(row), "items", with_features=keep != "none")
        if keep == "none":
            return [
                StoredItem(item.id, each.code, item.payload)
                for item, each in zip(items, coded, strict=True)
                if each is not None
            ], faults
        return [
            StoredItem(item.id, each.code, item.payload, kept_features.pack(each.features, keep))
            for item, each in zip(items, coded, strict=True)
            if each is not None and each.features is not None
        ], faults

    def _code_queries(self, row: CollectionRow, queries: Sequence[Query], with_logits: bool) -> list[Coded]:
        """A code for each query; raises UnknownItemError, or FaultsError that names the bad ones.

        `with_logits` of items, too, whose features were kept.
        """
        by_features = with_logits and row.settings.keep_features != "none"
        read = self._reader.whole_item if by_features else self._reader.item
        by_id = {str(query.document) for query in queries if query.kind == "id"}
        items = {item_id: _required(row, item_id, read(row.number, item_id)) for item_id in by_id}
        documents = [
            (query.kind, query.document) if query.kind != "id" else ("code", items[str(query.document)].code.hex())
            for query in queries
        ]
        coded, faults = encode(documents, row.settings.bits, self._hasher(row), "queries")
        if faults:
            raise FaultsError("nothing was searched", list(faults.values()))
        if by_features:
            for place, query in enumerate(queries):
                if query.kind == "id":
                    coded[place] = self._from_features(row, items[str(query.document)])
        return [each for each in coded if each is not None]

    def _from_features(self, row: CollectionRow, item: StoredItem) -> Coded:
        """An item as a query, with the features that were kept of it."""
        hasher = self._hasher(row)
        if item.features is None or hasher is None:
            return Coded(item.code)
        features = kept_features.unpack(item.features, row.settings.keep_features)
        return Coded(item.code, features, hasher().logits(features[None])[0])

    def _row(self, name: str) -> CollectionRow:
        return self._known(name, self._reader.collection(name))

    def _known(self, name: str, found: T | None) -> T:
        if found is None:
            raise UnknownCollectionError(f"expected the name of a collection that is there, got {name[:80]!r}")
        return found

    def _describe(self, row: CollectionRow) -> Description:
        settings = row.settings
        count = self._follower.state(row).count
        return Description(row.name, settings.bits, settings.hasher, count, settings.index, settings.keep_features)

    def _settings(self, wanted: NewCollection) -> CollectionSettings:
        """The settings of a new collection; raises InvalidInputError, or UnknownHasherError."""
        hasher, bits, keep = wanted.hasher, wanted.bits, wanted.keep_features or "none"
        if hasher is not None:
            loaded = self._hashers.get(hasher)
            hasher, bits = loaded.reference, loaded.bits
        elif bits is None or bits % 8 or not 8 <= bits <= LONGEST_CODE_BITS:
            raise InvalidInputError(f"expected bits as a multiple of 8 up to {LONGEST_CODE_BITS}, got {bits}")
        elif keep != "none":
            raise InvalidInputError(f"keep_features: expected a hasher to keep features of, got {keep} without one")
        index = wanted.index or IndexSettings()
        _require_index(index)
        return CollectionSettings(bits, hasher, index, keep)

    def _hasher(self, row: CollectionRow) -> Callable[[], Hasher] | None:
        reference = row.settings.hasher
        if reference is None:
            return None

        def load() -> Hasher:
            try:
                return self._hashers.get(reference)
            except UnknownHasherError as error:
                # Not the caller's mistake: the collection is bound to it, and its folder is gone.
                raise MissingHasherError(f"collection {row.name!r} needs hasher {reference}: {error}") from None

        return load


def _required(row: CollectionRow, item_id: str, item: StoredItem | None) -> StoredItem:
    if item is None:
        raise UnknownItemError(f"expected the id of an item of {row.name!r}, got {item_id[:80]!r}")
    return item


def _repeated(items: Sequence[Item]) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, item in enumerate(items):
        if item.id in seen:
            detail = f"expected each id once in a request, got {item.id[:80]!r} again"
            yield Fault(f"items/{place}/id", 422, "Duplicate id", detail)
        seen.add(item.id)


def _agrees(wanted: NewCollection, there: CollectionSettings) -> bool:
    if wanted.hasher is None:
        same = there.hasher is None and there.bits == wanted.bits
    else:
        same = there.hasher is not None and wanted.hasher in (there.hasher, there.hasher.partition("@")[0])
    if wanted.index is not None:
        chosen = (wanted.index.lists, there.index.lists), (wanted.index.probes, there.index.probes)
        same = same and wanted.index.kind == there.index.kind
        same = same and all(asked in (None, given) for asked, given in chosen)
    return same and wanted.keep_features in (None, there.keep_features)


def _require_index(index: IndexSettings) -> None:
    if index.kind == "flat" and (index.lists is not None or index.probes is not None):
        raise InvalidInputError("index: expected lists and probes only with kind ivf, got them with flat")
    for name, value in (("lists", index.lists), ("probes", index.probes)):
        if value is not None and not 1 <= value <= MOST_LISTS:
            raise InvalidInputError(f"index/{name}: expected 1 to {MOST_LISTS}, got {value}")
    if index.lists is not None and index.probes is not None and index.probes > index.lists:
        raise InvalidInputError(f"index/probes: expected at most as many as lists ({index.lists}), got {index.probes}")


def _told(settings: CollectionSettings) -> str:
    hasher = f"hasher {settings.hasher}" if settings.hasher else "no hasher"
    index = settings.index
    chosen = [f"{name} {value}" for name, value in (("lists", index.lists), ("probes", index.probes)) if value]
    kind = " ".join([index.kind, *([f"({', '.join(chosen)})"] if chosen else [])])
    return f"{settings.bits} bits, {hasher}, index {kind} and keep_features {settings.keep_features}"

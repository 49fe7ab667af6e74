"""Collections: named sets of items, coded by one hasher version, or bringing their own codes of one length."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from models.codes import LONGEST_CODE_BITS
from models.errors import InvalidInputError
from service.coding import carrying, kept_features
from service.coding.comparing import Comparison, compare
from service.coding.encoding import Coded, Given, Going, encode
from service.coding.hashers import Hashers
from service.collections.backend import Backend, Deletion, Source
from service.collections.deletion import NamedDeletion
from service.collections.steadily import ATTEMPTS, steadily
from service.collections.upserts import Upserts
from service.errors import ConflictError, Fault, FaultsError, UnknownItemError, UnknownItemsError
from service.filters import Condition, names_a_field
from service.index.collection import IndexState
from service.items import LONGEST_ID_BYTES, PAYLOAD, Item, Made, Match, Part, Query, Shown, Wanted
from service.search import rescoring
from service.store import pages
from service.store.errors import StoreBusyError, UnknownCollectionError, unknown_collection
from service.store.schema import CollectionRow, CollectionSettings, Consistency, IndexSettings, KeepFeatures, StoredItem
from service.store.snapshots import Copied, Taken
from service.telemetry.stages import Stages, untimed
from service.untold import untold

T = TypeVar("T")
log = logging.getLogger(__name__)
MOST_LISTS = 65_536
MOST_ABOVE = 1_000_000_000


@dataclass(frozen=True)
class Description:
    """A collection as callers see it; `hasher` is `name@version`, or None where items bring their own codes."""

    name: str
    bits: int
    hasher: str | None
    count: int
    index: IndexSettings
    keep_features: KeepFeatures
    keep_documents: bool
    consistency: Consistency | None = None


@dataclass(frozen=True)
class NewCollection:
    """What a collection is asked to be: with a hasher, or with codes of so many bits; None leaves it to the service."""

    hasher: str | None = None
    bits: int | None = None
    index: IndexSettings | None = None
    keep_features: KeepFeatures | None = None
    keep_documents: bool | None = None
    consistency: Consistency | None = None


@dataclass(frozen=True)
class Answer:
    """What a search found, a list for each query, and the bits and hasher (None: own codes) of the collection."""

    bits: int
    hasher: str | None
    results: list[list[Match]]


class Collections:
    """Encodes what comes in, has it kept, and has it searched; safe to use from many threads."""

    def __init__(self, backend: Backend, hashers: Hashers, upserts: Upserts, stages: Stages = untimed) -> None:
        self._backend = backend
        self._hashers = hashers
        self._upserts = upserts
        self._stages = stages

    def require_reachable(self) -> None:
        """Raise what keeps the collections from being read now, if anything does."""
        self._backend.require_reachable()

    def create(self, name: str, wanted: NewCollection, most: int | None = None) -> tuple[Description, bool]:
        """Create a collection, bound to the hasher version meant now; also says whether it is new.

        Creating what is there again, with the same settings, changes nothing; other settings raise ConflictError.
        A hasher named without a version agrees with any version of it, and what is left to the service with anything.
        Where there are `most` collections already, a new one raises TooManyCollectionsError.
        """
        row = self._backend.collection(name)
        if row is None:
            created = self._backend.create(name, self._settings(wanted), most)
            if created is not None:
                return self._describe(created), True
            row = self._row(name)
        if not _agrees(wanted, row.settings):
            raise ConflictError(f"expected the settings of {name!r}, which is there already with {_told(row.settings)}")
        return self._describe(row), False

    def change_index(self, name: str, index: IndexSettings) -> Description:
        """Let a collection be searched in another way; an IVF index is built in the background, exact until then."""
        _require_index(index)
        self._steadily(name, lambda row: self._backend.change_index(row, index))
        return self.get(name)

    def all(self) -> list[Description]:
        """All collections, by name."""
        for _ in range(ATTEMPTS):
            # One that is deleted between the two looks is none of them.
            with suppress(UnknownCollectionError):
                return [self._describe(row) for row in self._backend.collections()]
        raise StoreBusyError("expected the collections to rest for a moment, they change faster than they are read")

    def get(self, name: str) -> Description:
        """One collection; raises UnknownCollectionError."""
        return self._steadily(name, self._describe)

    def delete(self, name: str) -> None:
        """Delete a collection with all its items; raises UnknownCollectionError."""
        # Of one that was re-coded meanwhile, the one that has its name now.
        while not self._backend.drop(self._row(name)):
            pass

    def upsert(self, name: str, items: Sequence[Item], going: Going = untold) -> None:
        """Index all items or none, on disk when this returns; raises FaultsError that names the bad ones.

        `going` is called before each document; what it raises ends the work, of which nothing is written.
        """
        self._upserts.all(partial(self._row, name), items, going)

    def upsert_usable(self, name: str, items: Sequence[Item], going: Going = untold) -> dict[int, Fault]:
        """Index the items that can be used, on disk when this returns; says what is wrong with the others, by place.

        Of several with one id the last counts. `going` is called before each document; what it raises ends the work.
        """
        return self._upserts.usable(partial(self._row, name), items, going)

    def item(self, name: str, item_id: str) -> StoredItem:
        """One item; raises UnknownItemError."""
        return self._steadily(name, lambda row: _required(row, item_id, self._backend.item(row, item_id)))

    def shown(self, name: str, item_id: str, carried: frozenset[Part] = PAYLOAD) -> tuple[str | None, Shown]:
        """The hasher, and one item with what is asked for of it; raises UnknownItemError."""

        def show(row: CollectionRow) -> tuple[str | None, Shown]:
            carrying.require(row, carried)
            item = _required(row, item_id, self._backend.item(row, item_id, carried))
            return row.settings.hasher, carrying.show(item, carried, row.settings.keep_features)

        return self._steadily(name, show)

    def page(
        self, name: str, limit: int, after: str, condition: "Condition | None", carried: frozenset[Part] = PAYLOAD
    ) -> tuple[str | None, list[Shown], str | None]:
        """The hasher, at most `limit` items whose ids come after `after`, by id, and the id to go on after, if any.

        With a filter a page may come short of `limit`, or be empty, before the end.
        """
        asked = pages.Asked(limit, after, condition, "features" in carried, "document" in carried)

        def read(row: CollectionRow) -> tuple[str | None, list[Shown], str | None]:
            carrying.require(row, carried)
            page = self._backend.page(row, asked)
            if page.items and (packed := page.items[0].features) is not None:
                carrying.require_features_bounded(len(page.items), packed, row.settings.keep_features)
            shown = [carrying.show(item, carried, row.settings.keep_features) for item in page.items]
            return row.settings.hasher, shown, page.last

        return self._steadily(name, read)

    def compare(self, name: str, a: Query, b: Query, going: Going = untold) -> tuple[str | None, Comparison]:
        """Two documents, codes or items side by side, and the collection's hasher; raises FaultsError."""

        def both(row: CollectionRow) -> tuple[str | None, Comparison]:
            return row.settings.hasher, compare(*self._code_queries(row, [a, b], with_logits=True, going=going))

        try:
            return self._steadily(name, both)
        except FaultsError as error:
            sides = {"queries/0": "a", "queries/1": "b"}
            faults = [replace(each, where=sides[each.where[:9]] + each.where[9:]) for each in error.faults]
            raise FaultsError("nothing was compared", faults) from None

    def delete_items(self, name: str, ids: Sequence[str]) -> int:
        """Delete items by id; returns how many were there."""
        # Longer ones no item has: a body of them would be written out again for the store, while it is locked.
        possible = [each for each in ids if len(each) <= LONGEST_ID_BYTES]
        return self._steadily(name, lambda row: self._backend.delete(row, possible))

    def deletion(self, name: str, condition: Condition) -> Deletion:
        """A delete of the items that a filter lets through, to be taken step by step."""
        if not names_a_field(condition):
            # Of a collection that is not there, that is told, as of any other filter.
            self._row(name)
            raise InvalidInputError(
                "expected a condition on a field, got none (to delete all items, delete the collection)", "filter"
            )
        return NamedDeletion(self._backend, name, condition)

    def delete_matching(self, name: str, condition: Condition) -> int:
        """Delete the items that a filter lets through; returns how many."""
        deletion = self.deletion(name, condition)
        while not deletion.step():
            pass
        return deletion.finish()

    def search(self, name: str, queries: Sequence[Query], wanted: Wanted) -> Answer:
        """The items that are wanted for each query, in the order (distance, id), or (score, id) where ranked anew.

        A query by id does not find the item itself.
        """
        for _ in range(ATTEMPTS):
            with self._stages("catch_up"):
                source = self._known(name, self._backend.look(name))
            try:
                return self._search(source, queries, wanted)
            except (UnknownCollectionError, UnknownItemError):
                # Of one that was re-coded meanwhile the old codes may be gone.
                if self._row(name).number == source.row.number:
                    raise
        raise StoreBusyError("expected the collection to rest for a moment, it is re-coded faster than it is searched")

    def make(self, name: str, queries: Sequence[Query], going: Going = untold) -> list[Query]:
        """The same queries, each document with its code made already; raises what a search of them would.

        `going` is called before each document; what it raises ends the work.
        """

        def make(row: CollectionRow) -> list[Query]:
            places = [place for place, query in enumerate(queries) if query.kind != "id"]
            documents: list[Given] = [(query.kind, query.document) for query in queries if query.kind != "id"]
            coded, faults = self._encode(row, documents, going)
            if faults:
                moved = [replace(fault, where=_queries(fault, places[place])) for place, fault in faults.items()]
                raise FaultsError("nothing was searched", moved)
            made = list(queries)
            for place, each in zip(places, coded, strict=True):
                if each is not None:
                    made[place] = replace(queries[place], made=Made(row.number, *each))
            return made

        with self._stages("encode"):
            return self._steadily(name, make)

    def _search(self, source: Source, queries: Sequence[Query], wanted: Wanted) -> Answer:
        row = source.row
        carrying.require(row, wanted.carried)
        with self._stages("encode"):
            coded = self._code_queries(row, queries, wanted.rank != "hamming")
        rescoring.require(row, queries, coded, wanted.rank)
        itself = [str(query.document) if query.kind == "id" else None for query in queries]
        return Answer(row.settings.bits, row.settings.hasher, source.rank(coded, wanted, itself) if coded else [])

    def follow(self) -> None:
        """Bring the index up to what was written, so that the next search, which would do it, need not; never fails."""
        try:
            self._backend.follow()
        except Exception:
            # The next search meets it again, and can tell somebody.
            log.exception("the index could not follow a write")

    def require_snapshots(self, name: str) -> None:
        """Raise UnknownCollectionError, or NotOfferedError, where no snapshot can be taken of a collection."""
        self._row(name)
        self._backend.require_snapshots()

    def take_snapshot(self, name: str, folder: Path, copied: Copied) -> Taken:
        """Write a collection, as it is at one moment, into a new file of a folder; `copied` as `Backend` says."""
        return self._backend.take_snapshot(name, folder, copied)

    def state(self, name: str) -> tuple[Description, IndexState]:
        """A collection, and its index in this process's memory."""

        def look(row: CollectionRow) -> tuple[Description, IndexState]:
            held = self._backend.state(row)
            return _described(row, held.count), held

        return self._steadily(name, look)

    def _code_queries(
        self, row: CollectionRow, queries: Sequence[Query], with_logits: bool, going: Going = untold
    ) -> list[Coded]:
        """A code for each query; raises UnknownItemsError, or another FaultsError, that names the bad ones.

        `with_logits` of items, too, whose features were kept.
        """
        by_features = with_logits and row.settings.keep_features != "none"
        kept: frozenset[Part] = frozenset({"features"}) if by_features else frozenset()
        by_id = {str(query.document) for query in queries if query.kind == "id"}
        found = {item_id: self._backend.item(row, item_id, kept) for item_id in by_id}
        items = {item_id: item for item_id, item in found.items() if item is not None}
        if unknown := [
            _unknown_query(row, place, str(query.document))
            for place, query in enumerate(queries)
            if query.kind == "id" and query.document not in items
        ]:
            raise UnknownItemsError("nothing was searched", unknown)
        made = {place: query.made for place, query in enumerate(queries) if query.made is not None}
        made = {place: each for place, each in made.items() if each.collection == row.number}
        documents = [_to_encode(query, items, made.get(place)) for place, query in enumerate(queries)]
        coded, faults = self._encode(row, documents, going)
        if faults:
            raise FaultsError("nothing was searched", list(faults.values()))
        for place, each in made.items():
            coded[place] = Coded(each.code, each.features, each.logits)
        if by_features:
            for place, query in enumerate(queries):
                if query.kind == "id":
                    coded[place] = self._from_features(row, items[str(query.document)])
        return [each for each in coded if each is not None]

    def _encode(
        self, row: CollectionRow, documents: Sequence[Given], going: Going
    ) -> tuple[list[Coded | None], dict[int, Fault]]:
        self._hashers.budget.require(documents)
        load = self._hashers.bound(row.name, row.settings.hasher, row.settings.hasher_checksum)
        return encode(documents, row.settings.bits, load, "queries", query=True, going=going)

    def _from_features(self, row: CollectionRow, item: StoredItem) -> Coded:
        """An item as a query, with the features that were kept of it."""
        hasher = self._hashers.bound(row.name, row.settings.hasher, row.settings.hasher_checksum)
        if item.features is None or hasher is None:
            return Coded(item.code)
        features = kept_features.unpack(item.features, row.settings.keep_features)
        return Coded(item.code, features, hasher().logits(features[None])[0])

    def _steadily(self, name: str, use: Callable[[CollectionRow], T]) -> T:
        """What `use` makes of the collection; made again where its old codes are gone, as it was re-coded."""
        return steadily(self._backend.collection, name, use)

    def _row(self, name: str) -> CollectionRow:
        return self._known(name, self._backend.collection(name))

    def _known(self, name: str, found: T | None) -> T:
        if found is None:
            raise unknown_collection(name)
        return found

    def _describe(self, row: CollectionRow) -> Description:
        return _described(row, self._backend.state(row).count)

    def _settings(self, wanted: NewCollection) -> CollectionSettings:
        """The settings of a new collection; raises InvalidInputError, or UnknownHasherError."""
        hasher, bits, keep = wanted.hasher, wanted.bits, wanted.keep_features or "none"
        if hasher is not None:
            loaded = self._hashers.get(hasher)
            hasher, bits = loaded.reference, loaded.bits
        elif bits is None or bits % 8 or not 8 <= bits <= LONGEST_CODE_BITS:
            raise InvalidInputError(f"expected a multiple of 8 up to {LONGEST_CODE_BITS}, got {bits}", "bits")
        elif keep != "none":
            raise InvalidInputError(f"expected a hasher to keep features of, got {keep} without one", "keep_features")
        elif wanted.keep_documents:
            raise InvalidInputError("expected a hasher that codes the documents, got none", "keep_documents")
        index = wanted.index or IndexSettings()
        _require_index(index)
        checksum = None if hasher is None else self._hashers.checksum(hasher)
        documents = bool(wanted.keep_documents)
        return CollectionSettings(bits, hasher, index, keep, documents, wanted.consistency, checksum)


def _described(row: CollectionRow, count: int) -> Description:
    settings = row.settings
    kept = settings.keep_features, settings.keep_documents, settings.consistency
    return Description(row.name, settings.bits, settings.hasher, count, settings.index, *kept)


def _required(row: CollectionRow, item_id: str, item: StoredItem | None) -> StoredItem:
    if item is None:
        raise _unknown(row, item_id)
    return item


def _unknown(row: CollectionRow, item_id: str) -> UnknownItemError:
    return UnknownItemError(f"expected the id of an item of {row.name!r}, got {item_id[:80]!r}")


def _to_encode(query: Query, items: Mapping[str, StoredItem], made: Made | None) -> Given:
    """What is left to encode of a query: of one that is made, or that is an item, its code."""
    if query.kind == "id":
        return "code", items[str(query.document)].code.hex()
    return (query.kind, query.document) if made is None else ("code", made.code.hex())


def _queries(fault: Fault, place: int) -> str:
    """Where a fault of some of the queries stands among all of them."""
    return "/".join(["queries", str(place), *fault.where.split("/")[2:]])


def _unknown_query(row: CollectionRow, place: int, item_id: str) -> Fault:
    error = _unknown(row, item_id)
    return Fault(f"queries/{place}/id", error.status, error.title, str(error))


def _agrees(wanted: NewCollection, there: CollectionSettings) -> bool:
    if wanted.hasher is None:
        same = there.hasher is None and there.bits == wanted.bits
    else:
        same = there.hasher is not None and wanted.hasher in (there.hasher, there.hasher.partition("@")[0])
    if wanted.index is not None:
        same = same and wanted.index.kind == there.index.kind
        same = same and _chosen(wanted.index).items() <= _chosen(there.index).items()
    same = same and wanted.keep_documents in (None, there.keep_documents)
    same = same and wanted.consistency in (None, there.consistency)
    return same and wanted.keep_features in (None, there.keep_features)


def _require_index(index: IndexSettings) -> None:
    if index.kind == "flat" and (index.lists is not None or index.probes is not None):
        raise InvalidInputError("expected lists and probes only with kind ivf or auto, got them with flat", "index")
    if index.kind != "auto" and index.above is not None:
        raise InvalidInputError(f"expected above only with kind auto, got it with {index.kind}", "index")
    mosts = {"lists": MOST_LISTS, "probes": MOST_LISTS, "above": MOST_ABOVE}
    for name, value in _chosen(index).items():
        if not 1 <= value <= mosts[name]:
            raise InvalidInputError(f"expected 1 to {mosts[name]}, got {value}", f"index/{name}")
    if index.lists is not None and index.probes is not None and index.probes > index.lists:
        detail = f"expected at most as many as lists ({index.lists}), got {index.probes}"
        raise InvalidInputError(detail, "index/probes")


def _chosen(index: IndexSettings) -> dict[str, int]:
    """What is not left to the service."""
    given = {"lists": index.lists, "probes": index.probes, "above": index.above}
    return {name: value for name, value in given.items() if value is not None}


def _told(settings: CollectionSettings) -> str:
    hasher = f"hasher {settings.hasher}" if settings.hasher else "no hasher"
    index = settings.index
    chosen = [f"{name} {value}" for name, value in _chosen(index).items()]
    kind = " ".join([index.kind, *([f"({', '.join(chosen)})"] if chosen else [])])
    documents = " and keep_documents" if settings.keep_documents else ""
    more = f"{documents}, consistency {settings.consistency}" if settings.consistency else documents
    return f"{settings.bits} bits, {hasher}, index {kind} and keep_features {settings.keep_features}{more}"

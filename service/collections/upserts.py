"""Items on their way into a collection: coded by its hasher, and by the other one while it is being re-coded."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from service.coding import kept_documents, kept_features, ready
from service.coding.budget import documents_of
from service.coding.encoding import Coded, Going, encode
from service.coding.hashers import Hashers
from service.collections.backend import Backend, Together
from service.errors import Fault, FaultsError, TooLargeError
from service.items import Item
from service.store.errors import ChangedMeanwhileError, UnknownCollectionError
from service.store.schema import CollectionRow, StoredItem
from service.telemetry.stages import Stages, untimed
from service.untold import untold

ATTEMPTS = 20
Stored = list[StoredItem | None]
Faults = dict[int, Fault]
# The row of the collection that is meant, as it is now; raises UnknownCollectionError.
Find = Callable[[], CollectionRow]


class Upserts:
    """Both codes are made before the transaction, which finds out whether they are still the ones that are wanted."""

    def __init__(self, backend: Backend, hashers: Hashers, stages: Stages = untimed) -> None:
        self._backend = backend
        self._hashers = hashers
        self._stages = stages

    def all(self, find: Find, items: Sequence[Item], going: Going = untold) -> None:
        """Write all items or none; raises FaultsError that names the bad ones, TooLargeError above the budget.

        `going` is called before each document is encoded; what it raises ends the work, of which nothing is written.
        """
        self._hashers.budget.require(documents_of(items))

        def choose(stored: Sequence[Stored], faults: Faults) -> list[list[StoredItem]]:
            found = [*_repeated(items), *faults.values()]
            if found:
                raise FaultsError("nothing was indexed", found)
            return [[item for item in each if item is not None] for each in stored]

        self._write(find, items, choose, going)

    def usable(self, find: Find, items: Sequence[Item], going: Going = untold) -> Faults:
        """Write the items that can be used; says what is wrong with the others, by place. Of one id the last counts.

        Items beyond the budget of one request are written in several parts, in their order. `going` as in `all`.
        """
        if not items:
            # A few bytes of gzip become millions of blank lines: no transaction for each thousand of them.
            find()
            return {}

        def choose(stored: Sequence[Stored], faults: Faults) -> list[list[StoredItem]]:
            return [
                list({item.id: item for place, item in enumerate(each) if item and place not in faults}.values())
                for each in stored
            ]

        faults: Faults = {}
        for part in self._hashers.budget.parts(items):
            found = self._write(find, items[part], choose, going)
            faults |= {part.start + place: _moved(fault, part.start) for place, fault in found.items()}
        return faults

    def _write(
        self,
        find: Find,
        items: Sequence[Item],
        choose: Callable[[Sequence[Stored], Faults], list[list[StoredItem]]],
        going: Going,
    ) -> Faults:
        for attempt in range(ATTEMPTS):
            row = find()
            try:
                other = self._backend.beside(row)
                with self._stages("encode"):
                    stored, faults = self._both(row, other, items, going)
                chosen = choose(stored, faults)
                # From here on it is written, whole.
                going()
                also: Together | None = None if other is None else (other.number, chosen[1])
                with self._stages("store"):
                    self._backend.upsert(row, chosen[0], also)
                return faults
            except (ChangedMeanwhileError, UnknownCollectionError):
                # A re-coding was started, switched or ended meanwhile: what is wanted now is found anew.
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("returned or raised in the last attempt")

    def _both(
        self, row: CollectionRow, other: CollectionRow | None, items: Sequence[Item], going: Going
    ) -> tuple[list[Stored], Faults]:
        """What is stored in the collection, and in the other, and what is wrong with either, by place."""
        stored, faults = self._stored(row.name, row, items, going, is_recoded=other is not None)
        if other is None:
            return [stored], faults
        beside, more = self._stored(row.name, other, items, going, is_recoded=True)
        why = f"; it has to be usable by {other.settings.hasher}, too, as {row.name!r} is being re-coded"
        told = {place: replace(fault, detail=fault.detail + why) for place, fault in more.items()}
        return [stored, beside], dict(sorted((told | faults).items()))

    def _stored(
        self, name: str, row: CollectionRow, items: Sequence[Item], going: Going, *, is_recoded: bool
    ) -> tuple[Stored, Faults]:
        hasher = self._hashers.bound(name, row.settings.hasher, row.settings.hasher_checksum)
        documents = [(item.kind, item.document) for item in items]
        reasons = ready.reasons(row, items, is_recoded)
        coded, faults = encode(documents, row.settings.bits, hasher, "items", reasons, going=going)
        for place, fault in ready.faults(row, items, hasher, going).items():
            faults[place], coded[place] = fault, None
        stored = [None if each is None else store(row, item, each) for item, each in zip(items, coded, strict=True)]
        return stored, faults | self._too_large(items, stored)

    def _too_large(self, items: Sequence[Item], stored: Stored) -> Faults:
        """What is longer than the store keeps."""
        most, most_of_document = self._backend.most_payload_bytes, self._backend.most_document_bytes
        faults: Faults = {}
        for place, (item, kept) in enumerate(zip(items, stored, strict=True)):
            if most is not None and len(item.payload or b"") > most:
                faults[place] = _too_long(place, "payload", most, len(item.payload or b""))
            document = b"" if kept is None else kept.document or b""
            if most_of_document is not None and len(document) > most_of_document:
                faults[place] = _too_long(place, item.kind, most_of_document, len(document))
        return faults


def store(row: CollectionRow, item: Item, coded: Coded) -> StoredItem:
    """An item as its collection keeps it."""
    keep = row.settings.keep_features
    features = coded.features if item.kept.features is None else ready.row(item.kept.features)
    document = item.kept.document or (item.kind, item.document)
    return StoredItem(
        item.id,
        coded.code,
        item.payload,
        None if keep == "none" or features is None else kept_features.pack(features, keep),
        kept_documents.pack(*document) if row.settings.keep_documents else None,
    )


def _moved(fault: Fault, start: int) -> Fault:
    """The same fault of an item that is so many places further on."""
    first, place, *rest = fault.where.split("/")
    return replace(fault, where="/".join([first, str(int(place) + start), *rest])) if start else fault


def _too_long(place: int, part: str, most: int, came: int) -> Fault:
    detail = f"expected at most {most} bytes, as this store keeps no longer ones, got {came}"
    return Fault(f"items/{place}/{part}", TooLargeError.status, TooLargeError.title, detail)


def _repeated(items: Sequence[Item]) -> Iterator[Fault]:
    seen: set[str] = set()
    for place, item in enumerate(items):
        if item.id in seen:
            detail = f"expected each id once in a request, got {item.id[:80]!r} again"
            yield Fault(f"items/{place}/id", 422, "Duplicate id", detail)
        seen.add(item.id)

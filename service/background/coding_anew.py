"""From what a collection keeps of its items to the codes of another hasher, whichever store keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.codes import pack
from models.hasher import Hasher
from service.coding import kept_documents, kept_features
from service.coding.encoding import Going, encode
from service.coding.hashers import Hashers
from service.collections import upserts
from service.errors import ConflictError
from service.items import Item
from service.store.jobs import ItemError
from service.store.schema import CollectionRow, StoredItem
from service.untold import untold


@dataclass(frozen=True)
class CodingAnew:
    """Codes items by the hasher of a second collection, which keeps of them what the first one does."""

    hashers: Hashers

    def wanted(self, row: CollectionRow, hasher: str) -> Hasher:
        """The hasher `name@version`, or the newest version of `name`, by which the collection can be coded anew.

        Raises UnknownHasherError, or ConflictError, which says what is missing.
        """
        if row.settings.hasher is None:
            raise ConflictError(f"expected a collection with a hasher, the items of {row.name!r} bring their own codes")
        new = self.hashers.get(hasher)
        if new.reference == row.settings.hasher:
            raise ConflictError(f"expected another hasher than the one that codes {row.name!r}, got {new.reference}")
        self._require_kept(row, new)
        return new

    def code(
        self, name: str, new: CollectionRow, items: Sequence[StoredItem], going: Going = untold
    ) -> tuple[dict[int, StoredItem], list[ItemError]]:
        """Items of the collection of that name by the hasher of `new`, by their places, and those that it refused.

        `going` is called before each document; what it raises ends the work.
        """
        settings = new.settings
        load = self.hashers.bound(name, settings.hasher, settings.hasher_checksum)
        assert load is not None  # nosec B101  # for the type checker
        if not items:
            return {}, []
        if not settings.keep_documents:
            return _from_features(new, load(), items), []
        documents = [kept_documents.unpack(item.document or b"") for item in items]
        coded, faults = encode(documents, settings.bits, load, "items", going=going)
        found = {
            place: upserts.store(new, Item(item.id, *document, item.payload), each)
            for place, (item, document, each) in enumerate(zip(items, documents, coded, strict=True))
            if each is not None
        }
        return found, [ItemError(items[place].id, fault.detail) for place, fault in faults.items()]

    def _require_kept(self, row: CollectionRow, new: Hasher) -> None:
        old = self.hashers.bound(row.name, row.settings.hasher, row.settings.hasher_checksum)
        assert old is not None  # nosec B101  # for the type checker
        settings = row.settings
        if settings.keep_documents:
            modality = old().features.modality
            if modality != new.features.modality:
                raise ConflictError(
                    f"expected a hasher of {modality}, as the documents of {row.name!r} are, got {new.reference}, "
                    f"which takes {new.features.modality}"
                )
        elif settings.keep_features == "none":
            raise ConflictError(
                f"expected a collection that keeps documents, or features, to be coded anew, {row.name!r} keeps neither"
            )
        elif not same_features(old(), new):
            raise ConflictError(
                f"expected a hasher of the very features that {row.name!r} keeps, those of {settings.hasher}, got "
                f"{new.reference}, which makes others: that takes a collection that keeps documents"
            )


def same_features(one: Hasher, other: Hasher) -> bool:
    """Whether two hashers make the very same features of a document: by the same settings and the same files."""
    return _identity(one) == _identity(other)


def _identity(hasher: Hasher) -> tuple[object, ...]:
    files = hasher.card["files"]
    return hasher.features.settings(), {name: files.get(name) for name in hasher.features.files()}


def _from_features(row: CollectionRow, hasher: Hasher, items: Sequence[StoredItem]) -> dict[int, StoredItem]:
    """What is kept of an item stays as it is, to the byte; its code is made from that."""
    keep = row.settings.keep_features
    rows = np.stack([kept_features.unpack(item.features or b"", keep) for item in items])
    codes = pack(hasher.logits(rows))
    return {
        place: item._replace(code=code.tobytes()) for place, (item, code) in enumerate(zip(items, codes, strict=True))
    }

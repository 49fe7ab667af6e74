"""What an item brings along beside its id: its payload, its code, and what was kept of it."""

from collections.abc import Collection, Mapping, Sequence

from models.errors import InvalidInputError
from service.coding import kept_documents, kept_features
from service.items import Match, Part, Shown
from service.store.errors import DamagedStoreError
from service.store.schema import CollectionRow, KeepFeatures, StoredItem

# 64 MiB as float32; as JSON three times that.
MOST_NUMBERS = 2**24


def require(row: CollectionRow, carried: Collection[Part]) -> None:
    """Raise InvalidInputError where what is asked for is nothing that the collection keeps."""
    if "features" in carried and row.settings.keep_features == "none":
        raise InvalidInputError("expected a collection that keeps features, got features for one that does not", "with")
    if "document" in carried and not row.settings.keep_documents:
        raise InvalidInputError(
            "expected a collection that keeps documents, got document for one that does not", "with"
        )


def require_features_bounded(told: int, packed: bytes, keep: KeepFeatures) -> None:
    """Raise InvalidInputError where so many features, each as long as the `packed`, are too many for one reply."""
    numbers = told * kept_features.dimension(packed, keep)
    if numbers > MOST_NUMBERS:
        raise InvalidInputError(
            f"expected features of {MOST_NUMBERS} numbers at most in a reply, got {numbers}: ask for fewer items",
            "with",
        )


def show(item: StoredItem, carried: Collection[Part], keep: KeepFeatures) -> Shown:
    """A stored item; with its features and its document, where they are asked for."""
    shown = Shown(item.id, item.code, item.payload)
    if "features" in carried:
        shown = shown._replace(features=kept_features.unpack(_there(item, item.features, "features"), keep))
    if "document" in carried:
        shown = shown._replace(document=kept_documents.unpack(_there(item, item.document, "document")))
    return shown


def _there(item: StoredItem, kept: bytes | None, what: str) -> bytes:
    if kept is None:
        raise DamagedStoreError(f"expected the {what} of item {item.id!r}, found none: the database is damaged")
    return kept


def carry(
    matches: Sequence[Match], items: Mapping[str, StoredItem], carried: Collection[Part], keep: KeepFeatures
) -> list[Match]:
    """The matches with code, features and document as they are asked for; `items` are the matches' own, by id."""
    shown = [show(items[match.id], carried, keep) for match in matches]
    code = "code" in carried
    return [
        match._replace(code=item.code if code else None, features=item.features, document=item.document)
        for match, item in zip(matches, shown, strict=True)
    ]

"""What an item brings along beside its id: its payload, its code, and the features that were kept of it."""

from collections.abc import Collection, Mapping, Sequence

from models.errors import InvalidInputError
from service import kept_features
from service.items import Match, Part, Shown
from service.store.errors import DamagedStoreError
from service.store.schema import CollectionRow, KeepFeatures, StoredItem


def require(row: CollectionRow, carried: Collection[Part]) -> None:
    """Raise InvalidInputError where features are asked for of a collection that keeps none."""
    if "features" in carried and row.settings.keep_features == "none":
        raise InvalidInputError("expected a collection that keeps features, got features for one that does not", "with")


def show(item: StoredItem, carried: Collection[Part], keep: KeepFeatures) -> Shown:
    """A stored item; with its features, where they are asked for."""
    if "features" not in carried:
        return Shown(item.id, item.code, item.payload)
    if item.features is None:
        raise DamagedStoreError(f"expected the features of item {item.id!r}, found none: the database is damaged")
    return Shown(item.id, item.code, item.payload, kept_features.unpack(item.features, keep))


def carry(
    matches: Sequence[Match], items: Mapping[str, StoredItem], carried: Collection[Part], keep: KeepFeatures
) -> list[Match]:
    """The matches with code and features as they are asked for; `items` are the matches' own, by id."""
    shown = [show(items[match.id], carried, keep) for match in matches]
    code = "code" in carried
    return [
        match._replace(code=item.code if code else None, features=item.features)
        for match, item in zip(matches, shown, strict=True)
    ]

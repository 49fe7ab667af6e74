"""Items that bring their codes, and beside them whatever their collection keeps, as another collection kept it.

So an item can be moved as it is. Codes are taken at their word; what comes beside them has to be of the right kind.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.hasher import Hasher
from service.coding.encoding import NO_REASONS, Going, require_usable
from service.errors import Fault
from service.items import NOTHING_KEPT, Item
from service.store.schema import CollectionRow
from service.untold import untold


def reasons(collection: CollectionRow, items: Sequence[Item], is_recoded: bool) -> Mapping[int, str]:
    """Why the collection takes no code as it is, by the places of the items that bring one."""
    features, documents = _keeps(collection)
    if not features and not documents:
        return NO_REASONS
    found: dict[int, str] = {}
    for place, item in enumerate(items):
        if item.kind != "code":
            continue
        if is_recoded:
            found[place] = "the collection is being re-coded"
        elif features and item.kept.features is None:
            found[place] = "the collection keeps features"
        elif documents and item.kept.document is None:
            found[place] = "the collection keeps documents"
    return found


def faults(
    collection: CollectionRow, items: Sequence[Item], hasher: Callable[[], Hasher] | None, going: Going = untold
) -> dict[int, Fault]:
    """What is wrong with what comes beside codes, by place; `going` is called before each item that brings any."""
    found = {}
    for place, item in enumerate(items):
        if item.kept is NOTHING_KEPT:
            continue
        going()
        for part, check in (("features", _check_features), ("document", _check_document)):
            if getattr(item.kept, part) is None:
                continue
            try:
                check(collection, item, hasher)
            except InvalidInputError as error:
                found[place] = Fault(f"items/{place}/{part}", error.status, error.title, str(error))
    return found


def row(features: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Features as a row (d,) float32; what is beyond float32 is infinite in it."""
    with np.errstate(over="ignore"):
        return np.asarray(features, np.float64).astype(np.float32)


def _check_features(collection: CollectionRow, item: Item, hasher: Callable[[], Hasher] | None) -> None:
    given = row(() if item.kept.features is None else item.kept.features)
    if hasher is None or not _keeps(collection)[0]:
        raise InvalidInputError(f"expected none, as the collection keeps no features, got {len(given)} numbers")
    dimension = hasher().features.dimension
    if len(given) != dimension or not np.isfinite(given).all():
        came = len(given) if len(given) != dimension else "others"
        raise InvalidInputError(f"expected {dimension} finite numbers, as {hasher().reference} makes, got {came}")


def _check_document(collection: CollectionRow, item: Item, hasher: Callable[[], Hasher] | None) -> None:
    assert item.kept.document is not None  # nosec B101  # for the type checker
    kind, document = item.kept.document
    if hasher is None or not _keeps(collection)[1]:
        raise InvalidInputError(f"expected none, as the collection keeps no documents, got {kind}")
    # What cannot be encoded could not be coded anew.
    require_usable(hasher(), kind, document)


def _keeps(collection: CollectionRow) -> tuple[bool, bool]:
    return collection.settings.keep_features != "none", collection.settings.keep_documents

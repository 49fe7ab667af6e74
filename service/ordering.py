"""From the nearest items to the answer: ranked anew where that is asked for, with what they are to carry."""

from collections.abc import Mapping, Sequence

from service import carrying, rescoring
from service.coding import Coded
from service.items import Match, Wanted
from service.store.errors import DamagedStoreError
from service.store.schema import CollectionSettings, StoredItem

# By a number that is the item's own: Hamming distance and item, of one query.
Found = dict[int, tuple[int, StoredItem]]


def ordered(
    settings: CollectionSettings,
    queries: Sequence[Coded],
    found: Sequence[Found],
    wanted: Wanted,
    kept: Mapping[int, bytes] | None,
) -> list[list[Match]]:
    """The matches of each query, of its candidates, in the order (distance, id), or (score, id) where ranked anew.

    `kept` are the features of all of them, by number, where they are to be ranked by or to be given.
    """
    scores = _scores(settings, queries, found, wanted, kept)
    return [_matches(items, score)[: wanted.limit] for items, score in zip(found, scores, strict=True)]


def with_carried(
    settings: CollectionSettings,
    matches: Sequence[Sequence[Match]],
    found: Sequence[Found],
    wanted: Wanted,
    kept: Mapping[int, bytes] | None,
    documents: Mapping[int, bytes] | None = None,
) -> list[list[Match]]:
    """The matches of each query with all that they are to carry; `documents` are those kept of them, by number."""
    pairs = zip(matches, found, strict=True)
    return [_carry(settings, each, items, wanted, kept, documents) for each, items in pairs]


def without_itself(found: Found, itself: str | None, most: int) -> Found:
    """The `most` first by (distance, id) but for the query's own item, whatever else is asked for beside it."""
    if itself is None and len(found) <= most:
        return found
    kept = {sequence: pair for sequence, pair in found.items() if pair[1].id != itself}
    if len(kept) <= most:
        return kept
    return dict(sorted(kept.items(), key=lambda entry: (entry[1][0], entry[1][1].id))[:most])


def _scores(
    settings: CollectionSettings,
    queries: Sequence[Coded],
    found: Sequence[Found],
    wanted: Wanted,
    kept: Mapping[int, bytes] | None,
) -> Sequence[Mapping[int, float] | None]:
    """What the items of each query are ordered by, None where by their distance."""
    if wanted.rank == "hamming":
        return [None] * len(queries)
    pairs = list(zip(queries, found, strict=True))
    if wanted.rank == "asymmetric":
        return [
            rescoring.asymmetric(query, {key: item.code for key, (_, item) in near.items()}) for query, near in pairs
        ]
    assert kept is not None  # nosec B101  # for the type checker
    keep = settings.keep_features
    return [rescoring.rescored(query, {key: kept[key] for key in near if key in kept}, keep) for query, near in pairs]


def _matches(found: Found, scores: Mapping[int, float] | None) -> list[Match]:
    if scores is None:
        matches = [Match(item.id, distance, item.payload) for distance, item in found.values()]
        return sorted(matches, key=lambda match: (match.distance, match.id))
    if len(scores) < len(found):
        raise DamagedStoreError(f"expected features of {len(found)} items, found {len(scores)}: the rest is damaged")
    matches = [Match(item.id, distance, item.payload, scores[key]) for key, (distance, item) in found.items()]
    return sorted(matches, key=lambda match: (match.score, match.id))


def _carry(
    settings: CollectionSettings,
    matches: Sequence[Match],
    found: Found,
    wanted: Wanted,
    kept: Mapping[int, bytes] | None,
    documents: Mapping[int, bytes] | None,
) -> list[Match]:
    items = {
        item.id: item._replace(
            features=kept.get(key) if kept else None, document=documents.get(key) if documents else None
        )
        for key, (_, item) in found.items()
    }
    return carrying.carry(matches, items, wanted.carried, settings.keep_features)

"""From the nearest items to the answer: ranked anew where that is asked for, with what they are to carry."""

from collections.abc import Callable, Collection, Mapping, Sequence

from service.coding import carrying
from service.coding.encoding import Coded
from service.items import Match, Wanted
from service.search import rescoring
from service.store.errors import DamagedStoreError
from service.store.lookups import require_bounded_documents
from service.store.schema import CollectionSettings, StoredItem

# By a number that is the item's own: Hamming distance and item, of one query.
Found = dict[int, tuple[int, StoredItem]]
# By the same numbers, of each query; None where its items are not ranked anew.
Scores = Sequence[Mapping[int, float] | None]


def ordered(found: Sequence[Found], wanted: Wanted, scores: Scores) -> list[list[Match]]:
    """The matches of each query, of its candidates, in the order (distance, id), or (score, id) where ranked anew."""
    return [_matches(items, score)[: wanted.limit] for items, score in zip(found, scores, strict=True)]


def scored(
    settings: CollectionSettings,
    queries: Sequence[Coded],
    found: Sequence[Found],
    wanted: Wanted,
    features: Callable[[Collection[int]], Mapping[int, bytes]],
) -> Scores:
    """What the candidates of each query are ordered by, None where by their distance; `features` gives what is kept.

    Candidates without features have no score.
    """
    if wanted.rank == "hamming":
        return [None] * len(queries)
    pairs = zip(queries, found, strict=True)
    if wanted.rank == "asymmetric":
        return [
            rescoring.asymmetric(query, {key: item.code for key, (_, item) in near.items()}) for query, near in pairs
        ]
    keep = settings.keep_features
    scores = []
    # One query after the other: the features of all candidates of all of them are too much to hold.
    for query, near in pairs:
        kept = features(near.keys())
        scores.append(rescoring.rescored(query, {key: kept[key] for key in near if key in kept}, keep))
    return scores


def told(matches: Sequence[Sequence[Match]], found: Sequence[Found]) -> list[int]:
    """The numbers of all items that are matches, as often as they are."""
    numbers = []
    for each, near in zip(matches, found, strict=True):
        ids = {match.id for match in each}
        numbers += [number for number, (_, item) in near.items() if item.id in ids]
    return numbers


def with_carried(
    settings: CollectionSettings,
    matches: Sequence[Sequence[Match]],
    found: Sequence[Found],
    wanted: Wanted,
    kept: Mapping[int, bytes] | None,
    documents: Mapping[int, bytes] | None = None,
) -> list[list[Match]]:
    """The matches of each query with all that they are to carry; `kept` and `documents` are what is kept, by number.

    Raises InvalidInputError where that is too much for a reply.
    """
    if kept or documents:
        numbers = told(matches, found)
        if kept:
            carrying.require_features_bounded(len(numbers), next(iter(kept.values())), settings.keep_features)
        if documents:
            # Read once each, but told as often as they are found.
            require_bounded_documents(sum(len(documents[number]) for number in numbers if number in documents))
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

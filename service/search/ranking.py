"""From an index's candidates to the nearest items in the order (distance, id), whatever is written meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.codes import Codes
from service.coding import carrying
from service.coding.encoding import Coded
from service.index.snapshot import NOTHING, UNKNOWN, Candidates, Snapshot
from service.items import PAYLOAD, Match, Wanted
from service.search import rescoring
from service.search.features_read import FeaturesRead
from service.search.matching import Matching
from service.search.ordering import Found, ordered, scored, told, with_carried, without_itself
from service.store.errors import DamagedStoreError, StoreBusyError
from service.store.reader import Reader
from service.store.schema import CollectionRow, StoredItem
from service.telemetry.stages import Stages, untimed

ATTEMPTS = 100


@dataclass(frozen=True)
class Source:
    """Where the items of a collection are found: `first` in the index as it is now; `snapshot` gives it anew."""

    row: CollectionRow
    first: Snapshot
    snapshot: Callable[[], Snapshot]
    reader: Reader
    matching: Matching
    stages: Stages = untimed

    def rank(self, queries: Sequence[Coded], wanted: Wanted, without: Sequence[str | None]) -> list[list[Match]]:
        """The nearest items of each query, as wanted, but for the id that `without` names at its place."""
        return _rank(self, queries, wanted, without)


def _rank(source: Source, queries: Sequence[Coded], wanted: Wanted, without: Sequence[str | None]) -> list[list[Match]]:
    codes = np.frombuffer(b"".join([query.code for query in queries]), np.uint8).reshape(len(queries), -1)
    most = rescoring.most(wanted)
    count = most + any(each is not None for each in without)
    settings = source.row.settings
    for attempt in range(ATTEMPTS):
        before = source.snapshot() if attempt else source.first
        with source.stages("index"):
            near = [_within(each, wanted.max_distance) for each in _candidates(source, before, codes, count, wanted)]
        first = [_first(each, count) for each in near]
        with source.stages("store"):
            found = _fetch(source, first, count)
        others = [without_itself(items, itself, most) for items, itself in zip(found, without, strict=True)]
        scores = scored(settings, queries, others, wanted, FeaturesRead(source.reader.features).of)
        # An item that was replaced or deleted between index and store is looked for again, at its new place. None was
        # where the store gave all that was asked for, in one read, and chose nothing itself.
        missing = sum(min(len(each.sequences), count) - len(items) for each, items in zip(near, found, strict=True))
        settled = wanted.rank == "hamming" and not missing and not any(len(tied.sequences) for _, tied in first)
        if settled or _still_there(source.snapshot(), before, near):
            if missing:
                raise DamagedStoreError(f"expected the rows of all items found, {missing} are gone: it is damaged")
            matches = ordered(others, wanted, scores)
            if not wanted.carried - PAYLOAD:
                return matches
            kept, documents = _features(source, matches, others, wanted), _documents(source, matches, others, wanted)
            if (kept is None and documents is None) or _still_there(source.snapshot(), before, near):
                return with_carried(settings, matches, others, wanted, kept, documents)
    raise StoreBusyError("expected the collection to rest for a moment, it changes faster than it can be read")


def _candidates(source: Source, now: Snapshot, codes: Codes, count: int, wanted: Wanted) -> list[Candidates]:
    if wanted.filter is None:
        return now.nearest(codes, count, wanted.exact)
    return source.matching.nearest(source.row.number, wanted.filter, source.snapshot, codes, count, wanted.hurried)


def _within(candidates: Candidates, max_distance: int | None) -> Candidates:
    if max_distance is None:
        return candidates
    return candidates.take(slice(int(np.searchsorted(candidates.distances, max_distance, "right"))))


def _first(candidates: Candidates, count: int) -> tuple[Candidates, Candidates]:
    """The `count` first by (distance, id), and the tied of whom the ids must tell which are among them."""
    distances = candidates.distances
    if len(distances) <= count:
        return candidates, NOTHING
    nearer = int(np.searchsorted(distances, distances[count - 1]))
    order = candidates.order[nearer:]
    if order.max() == UNKNOWN:
        return candidates.take(slice(nearer)), candidates.take(slice(nearer, None))
    places = np.arange(count)
    places[nearer:] = nearer + order.argpartition(count - nearer - 1)[: count - nearer]
    return Candidates(distances[:count], candidates.sequences[places], candidates.order[places]), NOTHING


def _fetch(source: Source, first: Sequence[tuple[Candidates, Candidates]], count: int) -> list[Found]:
    """The `count` first items of each by (distance, id); those that are gone are left out."""
    tied = [
        source.reader.first_by_id(source.row.number, last.sequences.tolist(), count - len(sure.sequences))
        if len(last.sequences)
        else {}
        for sure, last in first
    ]
    kept = source.reader.by_sequence([sequence for sure, _ in first for sequence in sure.sequences.tolist()])
    return [_found(sure, kept) | _found(last, ties) for (sure, last), ties in zip(first, tied, strict=True)]


def _found(candidates: Candidates, items: Mapping[int, StoredItem]) -> Found:
    pairs = zip(candidates.distances.tolist(), candidates.sequences.tolist(), strict=True)
    return {sequence: (distance, items[sequence]) for distance, sequence in pairs if sequence in items}


def _features(
    source: Source, matches: Sequence[Sequence[Match]], found: Sequence[Found], wanted: Wanted
) -> Mapping[int, bytes] | None:
    """The features of what is told, where they are asked for; no more are read than may be told."""
    if "features" not in wanted.carried:
        return None
    numbers = told(matches, found)
    # All of a collection are of one length: the first one's is known before the others are read.
    for packed in source.reader.features(numbers[:1]).values():
        carrying.require_features_bounded(len(numbers), packed, source.row.settings.keep_features)
    return source.reader.features(set(numbers))


def _documents(
    source: Source, matches: Sequence[Sequence[Match]], found: Sequence[Found], wanted: Wanted
) -> Mapping[int, bytes] | None:
    """The documents of what is told, and of no more of what was looked at, where they are asked for."""
    if "document" not in wanted.carried:
        return None
    return source.reader.documents(set(told(matches, found)))


def _still_there(after: Snapshot, before: Snapshot, near: Sequence[Candidates]) -> bool:
    """Whether none of the candidates was removed, `after` being taken when all was read."""
    if after.epoch == before.epoch and after.columns is before.columns:
        return True
    sequences = np.unique(np.concatenate([each.sequences for each in near]))
    return len(after.rows(sequences)) == len(sequences)

"""From an index's candidates to the answer: the nearest items in the order (distance, id), with their payloads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.codes import Codes
from service import rescoring
from service.coding import Coded
from service.index.snapshot import Candidates, Snapshot
from service.items import Match, Wanted
from service.matching import Matching
from service.store.errors import DamagedStoreError, StoreBusyError
from service.store.reader import Reader
from service.store.schema import CollectionRow, StoredItem

ATTEMPTS = 100
# Sequence number -> Hamming distance, of one query.
Chosen = dict[int, int]


@dataclass(frozen=True)
class Source:
    """Where the items of a collection are found."""

    row: CollectionRow
    snapshot: Callable[[], Snapshot]
    reader: Reader
    matching: Matching


def rank(source: Source, queries: Sequence[Coded], wanted: Wanted, without: Sequence[str | None]) -> list[list[Match]]:
    """The nearest items of each query, as wanted, but for the id that `without` names at its place."""
    codes = np.frombuffer(b"".join(query.code for query in queries), np.uint8).reshape(len(queries), -1)
    count = wanted.limit if wanted.rank == "hamming" else max(wanted.limit, rescoring.candidates(wanted))
    count += any(each is not None for each in without)
    for _ in range(ATTEMPTS):
        chosen = [
            _cut(source, candidates, count, wanted.max_distance)
            for candidates in _candidates(source, codes, count, wanted)
        ]
        answer = _answer(source, queries, chosen, wanted, without)
        # An item that was replaced or deleted between index and store is looked for again, at its new place.
        if answer is not None:
            return answer
    raise StoreBusyError("expected the collection to rest for a moment, it changes faster than it can be read")


def _candidates(source: Source, codes: Codes, count: int, wanted: Wanted) -> list[Candidates]:
    if wanted.filter is None:
        return source.snapshot().nearest(codes, count, wanted.exact)
    return source.matching.nearest(source.row.number, wanted.filter, source.snapshot, codes, count)


def _cut(source: Source, candidates: Candidates, count: int, max_distance: int | None) -> Chosen:
    """The `count` first by (distance, id) within the distance."""
    distances, sequences = candidates
    if max_distance is not None:
        end = int(np.searchsorted(distances, max_distance, "right"))
        distances, sequences = distances[:end], sequences[:end]
    if len(distances) <= count:
        return dict(zip(sequences.tolist(), distances.tolist(), strict=True))
    last = int(distances[count - 1])
    nearer = int(np.searchsorted(distances, last))
    chosen = dict(zip(sequences[:nearer].tolist(), distances[:nearer].tolist(), strict=True))
    for sequence in source.reader.first_by_id(source.row.number, sequences[nearer:].tolist(), count - nearer):
        chosen[sequence] = last
    return chosen


def _answer(
    source: Source, queries: Sequence[Coded], chosen: Sequence[Chosen], wanted: Wanted, without: Sequence[str | None]
) -> list[list[Match]] | None:
    """The matches, or None where an item is gone from the store."""
    sequences = {sequence for each in chosen for sequence in each}
    items = source.reader.by_sequence(sequences)
    if _gone(source, sequences - items.keys()):
        return None
    if wanted.rank == "hamming":
        scored = [_matches(each, items, None) for each in chosen]
    else:
        scores = rescoring.scores(source.reader, source.row, queries, chosen, items, wanted.rank)
        if scores is None:
            return None
        scored = [_matches(each, items, score) for each, score in zip(chosen, scores, strict=True)]
    return [
        [match for match in matches if match.id != itself][: wanted.limit]
        for matches, itself in zip(scored, without, strict=True)
    ]


def _matches(chosen: Chosen, items: dict[int, StoredItem], scores: dict[int, float] | None) -> list[Match]:
    if scores is None:
        matches = [Match((item := items[sequence]).id, near, item.payload) for sequence, near in chosen.items()]
        return sorted(matches, key=lambda match: (match.distance, match.id))
    matches = [
        Match((item := items[sequence]).id, near, item.payload, scores[sequence]) for sequence, near in chosen.items()
    ]
    return sorted(matches, key=lambda match: (match.score, match.id))


def _gone(source: Source, missing: set[int]) -> bool:
    """Whether items that the store did not give were removed; raises DamagedStoreError where they were not."""
    if not missing:
        return False
    # Looked at after the store: what was removed before it was asked is no longer in here.
    if len(source.snapshot().rows(np.array(sorted(missing), np.int64))):
        raise DamagedStoreError(f"expected {len(missing)} items in the database, found none: it is damaged")
    return True

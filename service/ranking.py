"""From an index's candidates to the answer: the nearest items in the order (distance, id), with their payloads."""

from collections.abc import Callable

import numpy as np

from models.codes import Codes
from service.index.flat import Snapshot
from service.items import Match
from service.store.reader import Reader

ATTEMPTS = 10


def rank(
    snapshot: Callable[[], Snapshot],
    reader: Reader,
    collection: int,
    code: Codes,
    limit: int,
    max_distance: int,
    without: str | None = None,
) -> list[Match]:
    """The `limit` nearest items to a code (bits / 8,) within `max_distance` (inclusive), but for the id `without`."""
    wanted = limit if without is None else limit + 1
    matches: list[Match] = []
    for _ in range(ATTEMPTS):
        distances, sequences = snapshot().nearest(code, wanted)
        near = distances <= max_distance
        chosen = _cut_ties(reader, collection, distances[near], sequences[near], wanted)
        items = reader.by_sequence(chosen)
        matches = [
            Match(item.id, distance, item.payload)
            for sequence, distance in chosen.items()
            if (item := items.get(sequence)) is not None
        ]
        # An item that was replaced or deleted between index and store is looked for again, at its new place.
        if len(matches) == min(wanted, int(np.count_nonzero(near))):
            break
    matches.sort(key=lambda match: (match.distance, match.id))
    return [match for match in matches if match.id != without][:limit]


def _cut_ties(
    reader: Reader, collection: int, distances: np.ndarray, sequences: np.ndarray, wanted: int
) -> dict[int, int]:
    """Sequence number -> distance of the `wanted` first by (distance, id)."""
    if len(distances) <= wanted:
        return dict(zip(sequences.tolist(), distances.tolist(), strict=True))
    last = int(distances[wanted - 1])
    nearer = distances < last
    chosen = dict(zip(sequences[nearer].tolist(), distances[nearer].tolist(), strict=True))
    for sequence in reader.first_by_id(collection, sequences[~nearer].tolist(), wanted - len(chosen)):
        chosen[sequence] = last
    return chosen

"""A finer order of the nearest items: by the query's logits, or by the features that were kept of the items."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.codes import unpack
from models.errors import InvalidInputError
from service import kept_features
from service.coding import Coded
from service.items import Rank, Wanted
from service.store.reader import Reader
from service.store.schema import CollectionRow, KeepFeatures, StoredItem

# Of asymmetric order and of rescoring: how many of the nearest were found worth ranking anew.
CANDIDATES: dict[Rank, int] = {"hamming": 0, "asymmetric": 100, "rescored": 1000}


def candidates(wanted: Wanted) -> int:
    """How many of the nearest are ranked anew."""
    return wanted.candidates or CANDIDATES[wanted.rank]


def scores(
    reader: Reader,
    row: CollectionRow,
    queries: Sequence[Coded],
    chosen: Sequence[Mapping[int, int]],
    items: Mapping[int, StoredItem],
    rank: Rank,
) -> list[dict[int, float]] | None:
    """For each query a score by sequence number, smaller is nearer; None where an item's features are gone meanwhile.

    `asymmetric`: the sum of the magnitudes of the query's logits over the bits in which the codes differ (Gordo et al.
    2014, asymmetric distances). `rescored`: the Euclidean distance of the features.
    """
    if rank == "asymmetric":
        codes = [{each: items[each].code for each in near} for near in chosen]
        return [_asymmetric(query, near) for query, near in zip(queries, codes, strict=True)]
    kept = reader.features({sequence for near in chosen for sequence in near})
    if any(sequence not in kept for near in chosen for sequence in near):
        return None
    keep = row.settings.keep_features
    features = [{each: kept[each] for each in near} for near in chosen]
    return [_rescored(query, near, keep) for query, near in zip(queries, features, strict=True)]


def require(row: CollectionRow, queries: Sequence[Coded], rank: Rank) -> None:
    """Raise InvalidInputError where the collection or a query lacks what the order takes."""
    if rank == "rescored" and row.settings.keep_features == "none":
        raise InvalidInputError("rank: expected a collection that keeps features, got rescored for one that does not")
    for place, query in enumerate(queries):
        if rank != "hamming" and query.logits is None:
            raise InvalidInputError(
                f"rank: expected documents for {rank}, or ids where features are kept, got a code as query {place}"
            )


def _asymmetric(query: Coded, codes: Mapping[int, bytes]) -> dict[int, float]:
    assert query.logits is not None
    if not codes:
        return {}
    bits = unpack(np.frombuffer(b"".join(codes.values()), np.uint8).reshape(len(codes), -1)).astype(bool)
    found = (bits != (query.logits > 0)) @ np.abs(query.logits)
    return dict(zip(codes, found.tolist(), strict=True))


def _rescored(query: Coded, kept: Mapping[int, bytes], keep: KeepFeatures) -> dict[int, float]:
    assert query.features is not None
    if not kept:
        return {}
    rows = np.stack([kept_features.unpack(packed, keep) for packed in kept.values()])
    return dict(zip(kept, np.linalg.norm(rows - query.features, axis=1).tolist(), strict=True))

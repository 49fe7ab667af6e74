"""A finer order of the nearest items: by the query's logits, or by the features that were kept of the items."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.codes import unpack
from models.errors import InvalidInputError
from service.coding import kept_features
from service.coding.encoding import Coded
from service.items import Query, Rank, Wanted
from service.store.schema import CollectionRow, KeepFeatures

# Of asymmetric order and of rescoring: how many of the nearest were found worth ranking anew.
CANDIDATES: dict[Rank, int] = {"hamming": 0, "asymmetric": 100, "rescored": 1000}


def candidates(wanted: Wanted) -> int:
    """How many of the nearest are ranked anew."""
    return wanted.candidates or CANDIDATES[wanted.rank]


def most(wanted: Wanted) -> int:
    """How many of the nearest are to be found for a query: those that are wanted, or more, to be ranked anew."""
    return wanted.limit if wanted.rank == "hamming" else max(wanted.limit, candidates(wanted))


def require(row: CollectionRow, queries: Sequence[Query], coded: Sequence[Coded], rank: Rank) -> None:
    """Raise InvalidInputError where the collection or a query, given with its code, lacks what the order takes."""
    if rank == "rescored" and row.settings.keep_features == "none":
        raise InvalidInputError("expected a collection that keeps features, got rescored for one that does not", "rank")
    for place, (query, code) in enumerate(zip(queries, coded, strict=True)):
        if rank != "hamming" and code.logits is None:
            came = "an id where they are not" if query.kind == "id" else "a code"
            raise InvalidInputError(
                f"expected documents for {rank}, or ids where features are kept, got {came} as query {place}", "rank"
            )


def asymmetric(query: Coded, codes: Mapping[int, bytes]) -> dict[int, float]:
    """By the same keys as the packed codes: the magnitudes of the query's logits, summed over the bits that differ.

    Smaller is nearer. (Gordo et al. 2014, asymmetric distances for binary embeddings.)
    """
    assert query.logits is not None  # nosec B101  # for the type checker
    if not codes:
        return {}
    bits = unpack(np.frombuffer(b"".join(codes.values()), np.uint8).reshape(len(codes), -1)).astype(bool)
    magnitudes = np.nan_to_num(np.abs(query.logits)).astype(np.float64)
    # Not a matrix product: BLAS adds up some rows in another order than others, so equal codes would not tie.
    found = np.where(bits != (query.logits > 0), magnitudes, 0).sum(axis=1)
    return dict(zip(codes, found.tolist(), strict=True))


def rescored(query: Coded, kept: Mapping[int, bytes], keep: KeepFeatures) -> dict[int, float]:
    """By the same keys as the kept features: their Euclidean distance to the query's."""
    assert query.features is not None  # nosec B101  # for the type checker
    if not kept:
        return {}
    rows = np.stack([kept_features.unpack(packed, keep) for packed in kept.values()])
    # In float64, as the square of a large float32 is none.
    apart = rows - query.features.astype(np.float64)
    return dict(zip(kept, np.sqrt(np.square(apart).sum(axis=1)).tolist(), strict=True))

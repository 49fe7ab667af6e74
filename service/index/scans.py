"""FAISS's two brute-force scans over rows of codes, each shared among the cores that are idle."""

import faiss
import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from service.index.cores import ONE_CORE, Cores

Distances = NDArray[np.int32]
Rows = NDArray[np.int64]
# Below that, to wake another thread takes as long as it saves: two parts of 2 MiB took 0.79 to 1.06 of the time of one.
LEAST_BYTES = 6 * 2**20
PART_BYTES = 2**20
COUNTING_FROM = 256
COUNTING_BYTES = 64 * 2**20


def nearest(queries: Codes, codes: Codes, k: int, cores: Cores = ONE_CORE) -> tuple[Distances, Rows]:
    """Distances (m, k), ascending, and rows (m, k) of the k nearest of codes (n, bits / 8), k <= n.

    Which of several at the distance of the last are among them is left open.
    """

    def part(bound: slice) -> tuple[Distances, Rows]:
        distances, rows = _nearest(queries, codes[bound], min(k, bound.stop - bound.start))
        rows += bound.start
        return distances, rows

    parts = cores.share(len(codes), _most_parts(codes), part, ("nearest", len(queries), *_alike(codes)))
    if len(parts) == 1:
        return parts[0]
    distances, rows = (np.concatenate(column, axis=1) for column in zip(*parts, strict=True))
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)


def within(query: Codes, codes: Codes, max_distance: int, cores: Cores = ONE_CORE) -> tuple[Distances, Rows]:
    """Distances, ascending, and rows of the codes (n, bits / 8) within `max_distance`, inclusive, of a query."""

    def part(bound: slice) -> tuple[Distances, Rows]:
        distances, rows = _within(query, codes[bound], max_distance)
        return distances, rows + bound.start

    parts = cores.share(len(codes), _most_parts(codes), part, ("within", *_alike(codes)))
    distances, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(distances, kind="stable")
    return distances[order], rows[order]


def _most_parts(codes: Codes) -> int:
    return codes.nbytes // PART_BYTES if codes.nbytes >= LEAST_BYTES else 1


def _alike(codes: Codes) -> tuple[int, int]:
    """What is the same for scans that take alike long for each row, of which there are alike many."""
    return codes.shape[1], len(codes).bit_length()


def _nearest(queries: Codes, codes: Codes, k: int) -> tuple[Distances, Rows]:
    # Counting is quicker than a heap for many neighbours (2.0 against 5.4 ms for 10,000 of a million), but its
    # buckets take room for k rows at each distance.
    counting = k >= COUNTING_FROM and k * codes.shape[1] * 64 * len(queries) <= COUNTING_BYTES
    distances, rows = faiss.knn_hamming(queries, codes, k, variant="mc" if counting else "hc")
    return distances, rows


def _within(query: Codes, codes: Codes, max_distance: int) -> tuple[Distances, Rows]:
    if len(codes) == 0:
        return np.empty(0, np.int32), np.empty(0, np.int64)
    found = faiss.RangeSearchResult(1)
    query = np.ascontiguousarray(query)
    # FAISS's radius is exclusive.
    faiss.hamming_range_search(  # type: ignore[attr-defined]  # SWIG adds it when imported
        faiss.swig_ptr(query), faiss.swig_ptr(codes), 1, len(codes), max_distance + 1, codes.shape[1], found
    )
    count = int(faiss.rev_swig_ptr(found.lims, 2)[1])
    if count == 0:
        return np.empty(0, np.int32), np.empty(0, np.int64)
    rows = faiss.rev_swig_ptr(found.labels, count).copy()
    return faiss.rev_swig_ptr(found.distances, count).astype(np.int32), rows

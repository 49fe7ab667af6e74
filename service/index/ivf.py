"""FAISS's binary IVF index: codes in lists by their nearest centroid, of which a search probes a few.

Built once and never changed, so that any number of threads may search it; what comes after is searched exactly
beside it, until it is built anew. (Sivic and Zisserman 2003; Johnson, Douze and Jegou 2017 for FAISS.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from models.codes import Codes

# Fewer items are searched exactly: that is quick, and k-means has nothing to go by.
FEWEST_ITEMS = 10_000
POINTS_PER_LIST = 39
TRAINING_POINTS_PER_LIST = 64
TRAINING_ROUNDS = 10
RECALL_AT = 10
SAMPLE = 500
TARGET_RECALL = 0.96
SEED = 0
# About a tenth of a second's work.
BLOCK_ITEMS = 2**16


@dataclass(frozen=True)
class Ivf:
    """An index with what is known of it: sequence numbers up to `last`, recall@10 against exact on `sample` items."""

    index: faiss.IndexBinaryIVF
    lists: int
    probes: int
    last: int
    size: int
    trained_on: int
    recall: float = 0.0
    sample: int = 0

    @property
    def memory_bytes(self) -> int:
        """What codes, labels and centroids take."""
        return self.size * (self.index.code_size + 8) + self.lists * self.index.code_size

    def nearest(self, queries: Codes, k: int) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Distances, ascending, and sequence numbers of up to k items a query, removed ones among them."""
        distances, sequences = self.index.search(np.ascontiguousarray(queries), min(k, self.size))
        found = []
        for near, labels in zip(distances, sequences, strict=True):
            # FAISS fills up with -1 where the probed lists hold fewer.
            end = len(labels) if labels[-1] >= 0 else int(np.argmax(labels < 0))
            found.append((near[:end], labels[:end]))
        return found


def fewest(lists: int | None) -> int:
    """How many items an index of so many lists (None: as the service chooses) takes to be built."""
    return FEWEST_ITEMS if lists is None else max(1, lists * POINTS_PER_LIST)


def lists_for(items: int) -> int:
    """How many lists the service chooses: about the square root of the number of items, a power of two."""
    return int(2 ** round(np.log2(items) / 2))


def build(
    codes: Codes,
    sequences: NDArray[np.int64],
    lists: int | None,
    probes: int | None,
    before: Ivf | None,
    reached: Callable[[int], None],
) -> Ivf:
    """Build an index over codes (n, bits / 8) and sequence numbers (n,), ascending, and measure its recall.

    `lists` None: as `lists_for` has it. `probes` None: the fewest with a recall@10 of 0.96 on the sample. The centroids
    of the index `before` are kept until there are twice as many items as they were trained on. `reached` is told how
    many items are in it, again and again.
    """
    number = lists or lists_for(len(codes))
    if before is not None and len(codes) < 2 * before.trained_on and (lists is None or lists == before.lists):
        index, number, trained_on = _empty_copy(before.index), before.lists, before.trained_on
    else:
        index, trained_on = _trained(codes, number), len(codes)
    for start in range(0, len(codes), BLOCK_ITEMS):
        block = slice(start, start + BLOCK_ITEMS)
        index.add_with_ids(codes[block], sequences[block])
        reached(min(start + BLOCK_ITEMS, len(codes)))
    ivf = Ivf(index, number, min(probes or 1, number), int(sequences[-1]), len(codes), trained_on)
    return _measured(ivf, codes, sequences, probes)


def _trained(codes: Codes, lists: int) -> faiss.IndexBinaryIVF:
    bits = codes.shape[1] * 8
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, lists)
    index.cp.niter, index.cp.seed = TRAINING_ROUNDS, SEED
    index.cp.min_points_per_centroid = 1
    # k-means works on a float a bit: of all codes it would take 32 times their room.
    points = min(len(codes), lists * TRAINING_POINTS_PER_LIST)
    chosen = np.random.default_rng(SEED).choice(len(codes), points, replace=False)
    index.train(np.ascontiguousarray(codes[chosen]))
    return index


def _empty_copy(index: faiss.IndexBinaryIVF) -> faiss.IndexBinaryIVF:
    bits = index.d
    centroids = faiss.vector_to_array(faiss.downcast_IndexBinary(index.quantizer).xb)  # type: ignore[attr-defined]
    quantizer = faiss.IndexBinaryFlat(bits)
    quantizer.add(centroids.reshape(-1, bits // 8))
    copy = faiss.IndexBinaryIVF(quantizer, bits, index.nlist)
    copy.is_trained = True
    return copy


def _measured(ivf: Ivf, codes: Codes, sequences: NDArray[np.int64], probes: int | None) -> Ivf:
    sample = np.random.default_rng(SEED).choice(len(codes), min(SAMPLE, len(codes)), replace=False)
    queries = np.ascontiguousarray(codes[sample])
    # Each finds itself, too, which says nothing.
    true_distances, _ = faiss.knn_hamming(queries, codes, min(RECALL_AT + 1, len(codes)))
    tenth = true_distances[:, -1]
    # Powers of two, and in the end all lists.
    tried = [probes] if probes else [*(2**power for power in range((ivf.lists - 1).bit_length())), ivf.lists]
    recall = 0.0
    for number in tried:
        ivf.index.nprobe = min(number, ivf.lists)
        recall = _recall(ivf, queries, sequences[sample], tenth)
        if recall >= TARGET_RECALL:
            break
    return replace(ivf, probes=int(ivf.index.nprobe), recall=recall, sample=len(sample))


def _recall(ivf: Ivf, queries: Codes, own: NDArray[np.int64], tenth: NDArray[np.int32]) -> float:
    """The share of the 10 nearest others that is found: any item as near as the tenth counts."""
    distances, found = ivf.index.search(queries, RECALL_AT + 1)
    near = (found >= 0) & (found != own[:, None]) & (distances <= tenth[:, None])
    return float(np.minimum(near.sum(1), RECALL_AT).mean() / RECALL_AT)

"""Near-copies that a corpus has by nature: pairs of texts that share most of their shingles, counted exactly.

Shingles and their Jaccard similarity are as in Broder, "On the resemblance and containment of documents", 1997.
"""

import unicodedata

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

LENGTH = 5
LEAST = 0.5
BLOCK = 512

Pairs = NDArray[np.intp]
"""Places (m, 2) of items in a corpus, the smaller first."""


def shingles(text: str, length: int = LENGTH) -> set[str]:
    """All runs of `length` characters, after NFKC, case folding and white space to one space; a shorter text is one."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return {plain[start : start + length] for start in range(max(1, len(plain) - length + 1))}


def near_copies(texts: list[str], least: float = LEAST) -> Pairs:
    """Pairs (m, 2) whose shingles have a Jaccard similarity of at least `least`, without estimates or hashing."""
    columns: dict[str, int] = {}
    places, starts = [], [0]
    for text in texts:
        places += [columns.setdefault(shingle, len(columns)) for shingle in shingles(text)]
        starts.append(len(places))
    matrix = csr_matrix((np.ones(len(places), np.float32), places, starts), shape=(len(texts), len(columns)))
    sizes, found = np.diff(starts), []
    others = matrix.T.tocsc()
    for start in range(0, len(texts), BLOCK):
        common = (matrix[start : start + BLOCK] @ others).tocoo()
        first, second = common.row + start, common.col
        jaccard = common.data / (sizes[first] + sizes[second] - common.data)
        kept = (first < second) & (jaccard >= least)
        found.append(np.column_stack([first[kept], second[kept]]))
    pairs: Pairs = np.concatenate(found).astype(np.intp)
    return pairs[np.lexsort(pairs.T[::-1])]

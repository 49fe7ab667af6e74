"""What people use in place of learned codes: datasketch's MinHash, semhash, and perceptual hashes of pictures.

All of them are of the extra `jobs`. One that is not installed is named in the tables, and not measured.
"""

import importlib.util
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.codes import Codes, pack
from scripts.quality.natural import Pairs, shingles
from scripts.quality.removal import Groups, join

PERMUTATIONS = 128
BLOCK = 256
HASH_SIDE = 8


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


def minhash(texts: list[str], permutations: int = PERMUTATIONS) -> NDArray[np.uint32]:
    """MinHash signatures (n, permutations) of the texts' shingles, made by datasketch."""
    from datasketch import MinHash

    sets = ([shingle.encode() for shingle in sorted(shingles(text))] for text in texts)
    return np.stack([sketch.hashvalues for sketch in MinHash.generator(sets, num_perm=permutations, seed=1)])


def minhash_distances(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.float32]:
    """One less the Jaccard similarity that signatures (m, p) and (n, p) estimate, as (m, n)."""
    distances = np.empty((len(first), len(second)), np.float32)
    for row, signature in zip(distances, first, strict=True):
        np.mean(second != signature, axis=1, dtype=np.float32, out=row)
    return distances


def one_bit_minhash(signatures: NDArray[np.uint32]) -> Codes:
    """One bit of each value, as a code whose Hamming distance estimates the Jaccard similarity.

    Li and Koenig, "b-Bit Minwise Hashing", WWW 2010. The bit is the parity: of datasketch's permutations, the lowest
    bits alone depend on each other.
    """
    return pack((np.bitwise_count(signatures) & 1).astype(np.int8))


def semhash_groups(rows: NDArray[np.float32], cosines: list[float]) -> list[tuple[float, Groups]]:
    """Groups (n,) that semhash joins, given features (n, d), at each least cosine similarity, in falling order."""
    from semhash import SemHash

    names = [str(place) for place in range(len(rows))]
    # The rows are the vectors: nothing is encoded.
    engine = SemHash.from_embeddings(rows, names, model=None)  # type: ignore[arg-type]
    result = engine.self_deduplicate(cosines[-1])
    found = []
    # semhash goes from a lower threshold to a higher one without searching again.
    for cosine in reversed(cosines):
        result.rethreshold(cosine)
        pairs = [(int(each.record), int(each.duplicate_of)) for each in result.filtered]
        found.append((cosine, join(len(rows), np.array(pairs, np.intp).reshape(-1, 2))))
    return found[::-1]


def cosine_distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """One less the cosine similarity of features (m, d) and (n, d), as (m, n)."""
    unit_first, unit_second = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12)
                               for each in (first, second))  # fmt: skip
    distances: NDArray[np.float32] = 1 - unit_first @ unit_second.T
    return distances


def pairs_within(distances: NDArray[np.floating]) -> tuple[Pairs, NDArray[np.floating]]:
    """All pairs (m, 2) of a square matrix of distances, and their distances (m,)."""
    first, second = np.triu_indices(len(distances), 1)
    return np.column_stack([first, second]), distances[first, second]


def picture_hashes() -> dict[str, Callable[[Image.Image], NDArray[np.bool_]] | None]:
    """Perceptual hashes by name: a picture becomes bits (b,); None for one whose package is not installed."""
    hashes: dict[str, Callable[[Image.Image], NDArray[np.bool_]] | None] = dict.fromkeys(
        ("pHash", "dHash", "wHash", "PDQ")
    )
    if installed("imagehash"):
        import imagehash

        hashes["pHash"] = lambda picture: imagehash.phash(picture, HASH_SIDE).hash.ravel()
        hashes["dHash"] = lambda picture: imagehash.dhash(picture, HASH_SIDE).hash.ravel()
        hashes["wHash"] = lambda picture: imagehash.whash(picture, HASH_SIDE).hash.ravel()
    if installed("pdqhash"):
        import pdqhash

        hashes["PDQ"] = lambda picture: pdqhash.compute(np.asarray(picture.convert("RGB")))[0].astype(bool)
    return hashes

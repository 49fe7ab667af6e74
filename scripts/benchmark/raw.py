"""The bare FAISS calls that everything is compared with, each search on one thread."""

import threading
import time

import faiss
import numpy as np
from numpy.typing import NDArray

from models.codes import Codes
from scripts.benchmark.plan import K

TRAINING_ROUNDS = 10
POINTS_PER_LIST = 64


def one_thread() -> None:
    """Let FAISS use one thread for each search of the calling thread."""
    faiss.omp_set_num_threads(1)


def flat(codes: Codes) -> faiss.IndexBinaryFlat:
    """Exact search over codes (n, bits / 8)."""
    index = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index.add(codes)
    return index


def ivf(codes: Codes, lists: int, probes: int) -> faiss.IndexBinaryIVF:
    """An inverted file over codes (n, bits / 8), its centroids trained on a part of them."""
    bits = codes.shape[1] * 8
    index = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, lists)
    index.cp.niter = TRAINING_ROUNDS
    index.cp.min_points_per_centroid = 1
    points = min(len(codes), lists * POINTS_PER_LIST)
    index.train(np.ascontiguousarray(codes[np.random.default_rng(0).choice(len(codes), points, replace=False)]))
    index.add(codes)
    index.nprobe = probes
    return index


def search(index: faiss.IndexBinary, query: Codes, k: int = K) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Distances (k,) and places (k,) of the nearest to one query (bits / 8,)."""
    distances, places = index.search(query[None], k)
    return distances[0], places[0]


def per_second(index: faiss.IndexBinary, queries: Codes, threads: int, seconds: float) -> float:
    """Searches of one query each per second, from so many threads at once."""
    counts, stop = [0] * threads, threading.Event()

    def work(thread: int) -> None:
        one_thread()
        place = thread
        while not stop.is_set():
            search(index, queries[place % len(queries)])
            place += threads
            counts[thread] += 1

    working = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    began = time.perf_counter()
    for thread in working:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in working:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)

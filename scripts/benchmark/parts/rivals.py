"""Other libraries that search binary codes by Hamming distance, over the same items, where they are installed.

Their answers are verified as ours are. Approximate ones are asked with the first of their settings that reaches a
recall@10 of 0.95, and with their last where none does.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.codes import Codes
from scripts.benchmark import raw, verify
from scripts.benchmark.codes import Sample
from scripts.benchmark.figures import Figures, Rival, median_ms
from scripts.benchmark.plan import K, Plan

PART = "rivals"
LEAST_RECALL = 0.95
Answer = tuple[Sequence[int], Sequence[float]]


@dataclass(frozen=True)
class Built:
    """A library with all items in it; `search` gives places and distances, and takes one of `settings`."""

    name: str
    threads: str
    settings: Sequence[int]
    search: Callable[[Codes, int], Answer]
    build_seconds: float
    disk_mb: float | None = None
    memory_mb: float | None = None


def measure(folder: Path, sample: Sample, plan: Plan, figures: Figures) -> None:
    """Raw FAISS, what the other parts measured of ours, and each library."""
    truth = raw.flat(sample.items)
    tenths = [int(raw.search(truth, query)[0][-1]) for query in sample.queries]
    figures.rivals += [_measured(built, sample, tenths) for built in _faiss(sample.items)]
    figures.rivals += _ours(sample, figures)
    for name, build in (("sqlite-vec", _sqlite_vec), ("LanceDB", _lancedb), ("usearch", _usearch)):
        try:
            for built in build(sample.items, folder):
                figures.rivals.append(_measured(built, sample, tenths))
        except ImportError as error:
            figures.rivals.append(Rival(name, "-", note=f"not installed: {error}"))


def _measured(built: Built, sample: Sample, tenths: list[int]) -> Rival:
    for setting in built.settings or (0,):
        times, recalls = [], []
        for query, tenth in zip(sample.queries, tenths, strict=True):
            began = time.perf_counter()
            places, distances = built.search(query, setting)
            times.append(time.perf_counter() - began)
            verify.check_distances(sample.items, query, places, distances, built.name)
            recalls.append(verify.recall(distances, tenth))
        recall = statistics.mean(recalls)
        if recall >= LEAST_RECALL:
            break
    exact = not built.settings
    verify.require(not exact or recall == 1.0, f"expected all nearest items from {built.name}, got recall {recall}")
    name = built.name if exact else f"{built.name} {setting}"
    return Rival(name, built.threads, built.build_seconds, median_ms(times), recall, built.disk_mb, built.memory_mb)


def _ours(sample: Sample, figures: Figures) -> Iterator[Rival]:
    case = sample.case
    build = figures.value("writes", case, "NDJSON import, s")
    disk = figures.value("writes", case, "database, MB")
    each = figures.value("start", case, "bytes an item")
    memory = None if each is None else each * len(sample.items) / 1e6
    for part, shown in (("search", "collection"), ("http", "one client")):
        taken = figures.value(part, case, f"{shown}, ms")
        if taken is not None:
            yield Rival(f"Hammingway, {'over HTTP' if part == 'http' else shown}", "1", build, taken, 1.0, disk, memory)
    taken, found = figures.value("ivf", case, "one client, ms"), figures.value("ivf", case, "recall@10")
    if taken is not None:
        trained = figures.value("ivf", case, "build, s")
        yield Rival("Hammingway, IVF over HTTP", "1", trained, taken, found)


def _faiss(items: Codes) -> Iterator[Built]:
    began = time.perf_counter()
    flat = raw.flat(items)
    yield Built(
        "FAISS flat",
        "1",
        (),
        lambda query, _: _answer(*raw.search(flat, query)),
        _since(began),
        None,
        items.nbytes / 1e6,
    )
    lists = _lists(items)
    began = time.perf_counter()
    ivf = raw.ivf(items, lists, 1)

    def probe(query: Codes, probes: int) -> Answer:
        ivf.nprobe = probes
        return _answer(*raw.search(ivf, query))

    memory = (items.nbytes + 8 * len(items)) / 1e6
    yield Built(f"FAISS IVF, {lists} lists, probes", "1", _powers(lists), probe, _since(began), None, memory)


def _sqlite_vec(items: Codes, folder: Path) -> Iterator[Built]:
    # Not Python's own sqlite3: many builds of it load no extensions.
    import apsw
    import sqlite_vec

    path = folder / "sqlite-vec.sqlite"
    connection = apsw.Connection(str(path))
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.execute(f"CREATE VIRTUAL TABLE codes USING vec0 (code bit[{items.shape[1] * 8}])")
    began = time.perf_counter()
    with connection:
        connection.executemany(
            "INSERT INTO codes (rowid, code) VALUES (?, vec_bit(?))",
            ((place, code.tobytes()) for place, code in enumerate(items)),
        )

    def search(query: Codes, _: int) -> Answer:
        rows: list[Any] = connection.execute(
            "SELECT rowid, distance FROM codes WHERE code MATCH vec_bit(?) AND k = ?", (query.tobytes(), K)
        ).fetchall()
        return [place for place, _ in rows], [distance for _, distance in rows]

    yield Built("sqlite-vec, bit vectors", "1", (), search, _since(began), path.stat().st_size / 1e6)
    connection.close()


def _lancedb(items: Codes, folder: Path) -> Iterator[Built]:
    import lancedb
    import pyarrow
    from lancedb.index import IvfFlat

    path = folder / "lancedb"
    began = time.perf_counter()
    codes = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(items.reshape(-1)), items.shape[1])
    places = pyarrow.array(np.arange(len(items)))
    table = lancedb.connect(path).create_table("codes", pyarrow.table({"place": places, "code": codes}))

    def search(query: Codes, probes: int) -> Answer:
        asked = table.search(query, vector_column_name="code").distance_type("hamming").limit(K)
        asked = asked.nprobes(probes) if probes else asked.bypass_vector_index()
        found = asked.select(["place", "_distance"]).to_arrow()
        return found["place"].to_pylist(), found["_distance"].to_pylist()

    yield Built("LanceDB, no index", "all", (), search, _since(began), _megabytes(path))
    lists = _lists(items)
    began = time.perf_counter()
    table.create_index("code", config=IvfFlat(distance_type="hamming", num_partitions=lists))
    name = f"LanceDB IVF_FLAT, {lists} lists, probes"
    yield Built(name, "all", _powers(lists), search, _since(began), _megabytes(path))


def _usearch(items: Codes, folder: Path) -> Iterator[Built]:
    from usearch.index import Index, MetricKind, ScalarKind

    keys, bits = np.arange(len(items)), items.shape[1] * 8
    index = Index(ndim=bits, metric=MetricKind.Hamming, dtype=ScalarKind.B1)
    began = time.perf_counter()
    index.add(keys, items)
    seconds = _since(began)
    sizes = (index.serialized_length / 1e6, index.memory_usage / 1e6)

    def exact(query: Codes, _: int) -> Answer:
        found = index.search(query, K, threads=1, exact=True)
        return _answer(found.distances, found.keys)

    def approximate(query: Codes, expansion: int) -> Answer:
        index.expansion_search = expansion
        found = index.search(query, K, threads=1)
        return _answer(found.distances, found.keys)

    yield Built("usearch, exact", "1", (), exact, seconds, *sizes)
    yield Built("usearch HNSW, expansion", "1", (64, 128, 256, 512), approximate, seconds, *sizes)


def _answer(distances: np.ndarray, places: np.ndarray) -> Answer:
    there = places >= 0
    return places[there].tolist(), distances[there].tolist()


def _lists(items: Codes) -> int:
    """The square root of the number of items, as a power of two."""
    return int(2 ** round(math.log2(len(items)) / 2))


def _powers(lists: int) -> list[int]:
    return [2**power for power in range(int(math.log2(lists)) + 1)]


def _since(began: float) -> float:
    return time.perf_counter() - began


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6

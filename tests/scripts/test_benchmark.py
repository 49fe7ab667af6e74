"""The benchmark on few codes: every figure is there, and a wrong answer is never timed in silence."""

import itertools
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.codes import hamming
from scripts.benchmark import __main__ as benchmark
from scripts.benchmark import library, stores, verify
from scripts.benchmark.client import Client, HttpError, content_of, length_of, request
from scripts.benchmark.codes import CENTRES, FLIPPED, draw, item_id, lines, place_of
from scripts.benchmark.figures import Figures, Target, median_ratio, percentile_ms
from scripts.benchmark.load import load
from scripts.benchmark.machine import cores
from scripts.benchmark.parts import stores as stores_part
from scripts.benchmark.parts.duplicates import check
from scripts.benchmark.plan import Case, Plan, plan
from scripts.benchmark.stores import Compared
from scripts.benchmark.verify import WrongAnswerError
from scripts.console import run

ITEMS = 2000
PNG = b"\x89PNG\r\n\x1a\n"
NAMES = {
    "search": {"raw FAISS, ms", "collection, ms", "ratio of medians", "median of ratios"},
    "ivf": {
        *("lists", "probes", "build, s", "recall@10", "raw FAISS IVF, recall@10", "raw FAISS IVF, ms"),
        *("one client, ms", "raw FAISS IVF, 1 thread, searches/s"),
        *(f"16 clients, 1 query a request, {what}" for what in ("searches/s", "cores of the service")),
        *(f"16 clients, 100 queries a request, {what}" for what in ("searches/s", "cores of the service")),
        "16 clients, 1 query a request, searches/s a core",
        "16 clients, 100 queries a request, searches/s a core",
    },
    "writes": {
        *("NDJSON import, items/s", "NDJSON import, s", "one upsert, median, ms", "one upsert, p99, ms"),
        *("write of 4 KiB and fsync, ms", "database, MB"),
    },
    "start": {"empty, ready after, s", "ready after, s", "empty, resident, MB", "resident, MB", "bytes an item"},
    "lag": {f"GET /livez during an import, {what}, ms" for what in ("median", "p99", "longest")} | {"requests"},
    "duplicates": {
        f"distance {distance}, {what}"
        for distance in (0, 2, 4, 8)
        for what in ("s", "groups", "MB more", "searches meanwhile, median, ms", "searches meanwhile, p99, ms")
    },
}
MODULES = {"sqlite-vec": ("apsw", "sqlite_vec"), "LanceDB": ("lancedb", "pyarrow"), "usearch": ("usearch",)}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of a small run of all parts."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    options = ("--items", str(ITEMS), "--quick", "--bits", "64", "128", "--data", "clustered", "--out", str(out))
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmark", *options], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["benchmark.json", "benchmark.png"]
    assert (out / "benchmark.png").read_bytes().startswith(PNG)
    content: dict[str, Any] = json.loads((out / "benchmark.json").read_text())
    aimed = [figure for figure in content["figures"] if figure["target"]]
    assert f"{sum(figure['met'] for figure in aimed)} of {len(aimed)} targets met" in done.stdout
    for figure in content["figures"]:
        assert figure["name"] in done.stdout
    return content


def values(figures: dict[str, Any], part: str, bits: int) -> dict[str, float]:
    return {each["name"]: each["value"] for each in figures["figures"] if (each["part"], each["bits"]) == (part, bits)}


def test_every_figure_is_there_and_positive(figures: dict[str, Any]) -> None:
    for bits in (64, 128):
        for part, names in NAMES.items():
            if bits == 128 or part in ("search", "ivf"):
                assert values(figures, part, bits).keys() == names
        http = values(figures, "http", bits)
        threads = {f"{number} thread{'s' if number > 1 else ''}" for number in (1, cores())}
        assert len(http) == 7 + 4 * len(threads)
        alone = "uvicorn alone, 16 clients, replies/s a core"
        assert {alone, *(f"16 clients, {each}, searches/s" for each in threads)} < http.keys()
    deletes = values(figures, "deletes", 128)
    assert deletes["dead rows after the last delete"] == ITEMS / 10
    for phase in ("between deletes", "over dead rows", "after compaction"):
        assert deletes[f"search {phase}, times before"] > 0
    for figure in figures["figures"]:
        # Two thousand items take less memory than two processes differ by.
        assert figure["value"] > 0 or figure["name"].endswith(("bytes an item", "MB more")), figure
        if figure["target"]:
            sign, bound = figure["target"].split()
            bound = float(bound.replace(",", ""))
            assert figure["met"] == (figure["value"] <= bound if sign == "<=" else figure["value"] >= bound)
        else:
            assert figure["met"] is None
    assert figures["main"] == "clustered 128"
    assert figures["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert figures["machine"]["packages"]["faiss-cpu"]


def test_figures_agree_with_each_other(figures: dict[str, Any]) -> None:
    for bits in (64, 128):
        search, ivf = values(figures, "search", bits), values(figures, "ivf", bits)
        assert search["ratio of medians"] == pytest.approx(search["collection, ms"] / search["raw FAISS, ms"])
        assert 0.5 < ivf["recall@10"] <= 1
        assert ivf["probes"] <= ivf["lists"] == ITEMS // 100
    start, writes = values(figures, "start", 128), values(figures, "writes", 128)
    resident = (start["resident, MB"] - start["empty, resident, MB"]) * 1e6
    assert start["bytes an item"] == pytest.approx(resident / ITEMS)
    assert writes["NDJSON import, items/s"] == pytest.approx(ITEMS / writes["NDJSON import, s"])


def test_rivals_are_measured_where_they_are_installed(figures: dict[str, Any]) -> None:
    rivals = {rival["name"]: rival for rival in figures["rivals"]}
    assert {
        "FAISS flat",
        "Hammingway, collection",
        "Hammingway, over HTTP",
        "Hammingway, IVF over HTTP",
    } < rivals.keys()
    for library_name, modules in MODULES.items():
        own = [rival for name, rival in rivals.items() if name.startswith(library_name)]
        if all(find_spec(module) for module in modules):
            assert own
            assert not any(rival["note"] for rival in own)
        else:
            assert [rival["note"][:13] for rival in own] == ["not installed"]
    for rival in rivals.values():
        if not rival["note"]:
            assert rival["search_ms"] > 0
            assert 0.5 < rival["recall"] <= 1


def test_wrong_groups_are_noticed() -> None:
    codes = np.array([[0], [1], [240], [3], [255]], np.uint8)
    planted = {1: (0, 1)}
    first = {"id": "item-0", "of": None, "distance": 0}
    second = {"id": "item-1", "of": "item-0", "distance": 1}
    third = {"id": "item-3", "of": "item-1", "distance": 1}
    right = {"group": 1, "items": [first, second, third]}
    check(codes, planted, [right], 1)
    # Farther than asked for, the planted one need not be found.
    check(codes, planted, [], 0)
    other = {"group": 2, "items": [{"id": "item-2", "of": None, "distance": 0}, {**second, "of": "item-2"}]}
    for wrong, message in (
        ([], "in the group of 0"),
        ([right, right], "order of first ids"),
        ([{"group": 1, "items": [first, second, second]}], "each item in one group"),
        ([{"group": 1, "items": [first, {**second, "distance": 0}]}], "true distances"),
        ([{"group": 1, "items": [first, third]}, other], "true distances"),
    ):
        with pytest.raises(WrongAnswerError, match=message):
            check(codes, planted, wrong, 1)


def test_a_wrong_answer_ends_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["benchmark", "--items", "1000", "--quick", "--bits", "64", "--only", "search", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", options)
    right = library.search

    def wrong(*given: Any) -> verify.Found:
        (first, distance), *rest = right(*given)
        return [(first, distance + 1), *rest]

    monkeypatch.setattr(library, "search", wrong)
    with pytest.raises(SystemExit) as stopped:
        run(benchmark.main)
    assert stopped.value.code == 1
    assert "error: expected distances" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_exact_answer_is_noticed() -> None:
    items = np.array([[0], [1], [2], [4], [255]] * 3, np.uint8)
    query = np.array([0], np.uint8)
    order = sorted((int(distance), item_id(place)) for place, distance in enumerate(hamming(query[None], items)[0]))
    found = [(item, distance) for distance, item in order[:10]]
    true = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1], np.int32)
    verify.check_exact(items, query, found, true, "it")
    verify.check_brute_force(items, query, found, "it")
    unlike = [(item, distance + (place == 9)) for place, (item, distance) in enumerate(found)]
    twice = [*found[:9], found[8]]
    swapped = [*found[:3], found[4], found[3], *found[5:]]
    for wrong, message in ((unlike, "distances"), (twice, "each item once"), (swapped, "order")):
        with pytest.raises(WrongAnswerError, match=rf"expected .*{message}"):
            verify.check_exact(items, query, wrong, true, "it")
    farther = [*found[:9], ("item-4", 8)]
    with pytest.raises(WrongAnswerError, match="expected distances"):
        verify.check_exact(items, query, farther, true, "it")
    # As near, but with a higher id than the one that was left out: only brute force tells.
    other_tie = [*found[:9], (order[11][1], 1)]
    verify.check_exact(items, query, other_tie, true, "it")
    with pytest.raises(WrongAnswerError, match="expected"):
        verify.check_brute_force(items, query, other_tie, "it")
    without = place_of(found[0][0])
    left = [(item, distance) for distance, item in order if item != item_id(without)][:10]
    verify.check_brute_force(items, query, left, "it", [without])


def test_recall_counts_ties_and_not_what_is_missing() -> None:
    assert verify.recall([1, 2, 2, 3, 3, 3, 3, 3, 4, 5], tenth=3) == 0.8
    assert verify.recall([1, 2], tenth=3) == 0.2


def test_clusters_are_as_described() -> None:
    whole = Plan(4000, ("clustered",), (256,), Path(), queries=50, seconds=1, rounds=1, deletes=1)
    sample = draw(Case("clustered", 256), whole)
    assert np.array_equal(sample.items, draw(Case("clustered", 256), whole).items)
    assert sample.items.shape == (4000, 32)
    distances = hamming(sample.queries, sample.items) / 256
    # Two members of a cluster differ where one of both was flipped.
    near = distances[distances < 0.34]
    assert near.mean() == pytest.approx(2 * FLIPPED * (1 - FLIPPED), abs=0.02)
    assert distances[distances >= 0.34].mean() == pytest.approx(0.5, abs=0.01)
    assert len(near) == pytest.approx(distances.size / CENTRES, rel=0.6)
    uniform = draw(Case("uniform", 256), whole)
    assert np.unpackbits(uniform.items).mean() == pytest.approx(0.5, abs=0.01)


def test_lines_are_the_items() -> None:
    codes = np.array([[0, 255], [16, 1]], np.uint8)
    assert [json.loads(line) for line in lines(codes, first=7)] == [
        {"id": "item-7", "code": "00ff"},
        {"id": "item-8", "code": "1001"},
    ]


def test_targets_and_percentiles() -> None:
    assert Target(most=1.2).met(1.2)
    assert not Target(most=1.2).met(1.21)
    assert Target(least=0.85).met(0.85)
    assert not Target(least=0.85).met(0.84)
    assert str(Target(least=60_000)) == ">= 60,000"
    assert percentile_ms([value / 1000 for value in range(1, 101)], 99) == pytest.approx(99)
    assert median_ratio([2, 9, 4], [1, 3, 1]) == 3
    noted, case = Figures(), Case("uniform", 64)
    noted.add("search", case, "ratio", 1.5, most=1.2)
    assert noted.value("search", case, "ratio") == 1.5
    assert noted.value("search", Case("uniform", 128), "ratio") is None
    assert noted.figures[0].met is False


def test_the_main_case_is_clustered_and_near_to_128_bits() -> None:
    assert plan(1000, ["uniform", "clustered"], [64, 128, 256], Path(), quick=True).main == Case("clustered", 128)
    assert plan(1000, ["uniform"], [512, 256], Path(), quick=True).main == Case("uniform", 256)


@contextmanager
def answering(replies: Iterator[bytes]) -> Iterator[int]:
    """The port of a server that gives these replies, whatever it is asked."""
    lock = threading.Lock()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                with lock:
                    reply = next(replies)
                self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


OF_A_STORE = {
    *("NDJSON import, items/s", "one client, ms", "one client, p99, ms", "recall@10", "16 clients, searches/s"),
    *("16 clients, p99, ms", "one upsert, median, ms", "one upsert, p99, ms", "search after an upsert, median, ms"),
}


def test_stores_are_measured_beside_one_another_and_left_as_they_were(tmp_path: Path) -> None:
    small = Plan(1500, ("clustered",), (64,), tmp_path, queries=20, seconds=0.2, rounds=1, deletes=1)
    figures = Figures()
    compared = {"one": Compared(), "another": Compared(("--threads", "1"))}
    stores_part.measure(tmp_path, draw(small.main, small), small, figures, compared)
    assert {figure.name for figure in figures.figures} == {
        f"{store}: {each}" for store in compared for each in OF_A_STORE
    }
    assert all(figure.value > 0 and figure.part == "stores" for figure in figures.figures)
    assert figures.value("stores", small.main, "another: recall@10") == 1
    for store in compared:
        with library.opened(tmp_path / store) as collections:
            assert collections.all() == []


def test_a_store_that_forgets_ends_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Plan(1500, ("clustered",), (64,), tmp_path, queries=3, seconds=0.2, rounds=1, deletes=1)
    monkeypatch.setattr(
        stores_part, "lines", lambda codes, first=0: list(lines(codes, first))[: -1 if first == 0 else None]
    )
    with pytest.raises(WrongAnswerError, match=r"expected {'indexed': 1500, .* from one, got {'indexed': 1499,"):
        stores_part.measure(tmp_path, draw(small.main, small), small, Figures(), {"one": Compared()})


def test_the_stores_to_compare_are_named_or_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert benchmark.parse(["--store", "milvus"]).only == []
    assert benchmark.parse(["--store", "milvus+tls://there:19530", "--only", "http"]).only == ["http"]
    assert benchmark.parse([]).only == list(benchmark.PARTS)
    with stores.opened("milvus://there:19530", tmp_path) as compared:
        there = ("--store", "milvus://there:19530", "--store-seconds", "60")
        assert [each.options for each in compared.values()] == [(), there, there, there]
        session, ivf = {"consistency": "session"}, {"index": {"kind": "ivf"}}
        assert [each.settings for each in compared.values()] == [{}, {}, session, session | ivf]
        assert [each.exact for each in compared.values()] == [True, True, True, False]
        addresses = [each.sealed and each.sealed.store for each in compared.values()]
        assert addresses == [None, *["milvus://there:19530"] * 3]
    for wrong in ("sqlite", "milvus://", "http://there:19530", ""):
        with pytest.raises(SystemExit):
            benchmark.parse(["--store", wrong])
        assert "expected milvus, or milvus://HOST:PORT" in capsys.readouterr().err


def test_the_client_reads_whole_replies() -> None:
    long = json.dumps({"long": "x" * 1_000_000}).encode()
    replies = iter([reply(long), reply(b'{"wrong": 1}', b"500 Oh"), b"HTTP/1.1 204 No Content\r\n\r\n"])
    with answering(replies) as port, Client(port) as client:
        assert content_of(client.exchange(request("GET", "/"))) == json.loads(long)
        with pytest.raises(HttpError, match=r"expected a reply of success, got .*500"):
            client.call("GET", "/")
        assert client.call("DELETE", "/") is None
    assert length_of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n") is None
    with pytest.raises(HttpError, match="expected a reply with a length"):
        length_of(b"HTTP/1.1 200 OK\r\n\r\n")


def test_load_counts_replies_and_notices_what_is_wrong() -> None:
    requests = [request("GET", "/1"), request("GET", "/2")]
    with answering(itertools.repeat(reply(b"same"))) as port:
        seen = load(os.getpid(), port, requests, connections=4, processes=2, seconds=0.3)
    assert (seen.bodies, seen.failed, seen.changed) == ({0: b"same", 1: b"same"}, [], 0)
    assert len(seen.latencies) > 10
    assert seen.per_second == pytest.approx(len(seen.latencies) / 0.3, rel=0.3)
    assert seen.client_microseconds > 0
    numbered = (reply(b"%d" % number) for number in itertools.count())
    with answering(numbered) as port:
        changing = load(os.getpid(), port, requests, connections=2, processes=1, seconds=0.2)
    assert changing.changed == len(changing.latencies) - 2
    with pytest.raises(WrongAnswerError, match="expected the same reply"):
        list(verify.replies(changing))
    with answering(itertools.repeat(reply(b"no", b"503 Busy"))) as port:
        failing = load(os.getpid(), port, requests, connections=2, processes=1, seconds=0.2)
    assert len(failing.failed) == len(failing.latencies)
    with pytest.raises(WrongAnswerError, match="expected replies of success"):
        list(verify.replies(failing))

"""Measure the service beside the bare FAISS calls and beside other libraries, and say which targets are met.

Codes are made from a seed: uniform bits, or clusters. Every answer is verified: a wrong one is an error. All work is
done under DIR, on whose disk the durable writes go; what stays there is benchmark.json and benchmark.png.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from scripts.benchmark import library, machine, raw, stores
from scripts.benchmark.codes import KINDS, Sample, draw
from scripts.benchmark.figures import Figures
from scripts.benchmark.parts import deletes, duplicates, http, ivf, lag, rivals, search, starts, writes
from scripts.benchmark.parts import stores as stores_part
from scripts.benchmark.picture import draw as draw_picture
from scripts.benchmark.plan import Plan, plan
from scripts.benchmark.tables import print_part, print_rivals, print_summary
from scripts.console import run
from scripts.options import positive
from scripts.outputs import check_writable

PARTS = ("search", "http", "ivf", "writes", "start", "deletes", "lag", "duplicates", "rivals")
FILLED = {"search", "http", "start", "deletes"}
# Only where --store says which.
STORES = "stores"
ITEMS, QUICK_ITEMS, FEWEST_ITEMS = 1_000_000, 100_000, 1000
BITS = (64, 128, 256)


def main() -> None:
    """Measure the parts that were asked for, one case after the other, and write down what came out."""
    arguments = parse()
    check_writable(arguments.out)
    arguments.out.mkdir(parents=True, exist_ok=True)
    items = arguments.items or (QUICK_ITEMS if arguments.quick else ITEMS)
    planned = plan(items, arguments.data, arguments.bits, arguments.out, arguments.quick)
    chosen, figures, described = set(arguments.only), Figures(), machine.describe()
    began = time.perf_counter()
    raw.one_thread()
    print(f"{items:,} codes on {described['cores']} cores, {described['cpu']}")
    for case in planned.cases if chosen else [planned.main]:
        with _doing(f"drawing {case} codes"):
            sample = draw(case, planned)
        measure(sample, planned, chosen, figures)
        if arguments.store is not None and case == planned.main:
            _measure_stores(arguments.store, sample, planned, figures)
    for part in (*PARTS[:-1], STORES):
        print_part(part, figures)
    if figures.rivals:
        print_rivals(figures.rivals, f"{planned.main} codes, all libraries")
    print_summary(figures)
    write(arguments.out, planned, figures, {"machine": described, "seconds": round(time.perf_counter() - began, 1)})


def parse(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmark", description=__doc__)
    parser.add_argument("--items", type=positive, help=f"codes to search among (default {ITEMS})")
    parser.add_argument(
        "--bits", type=positive, nargs="+", default=list(BITS), help="their lengths (default 64 128 256)"
    )
    parser.add_argument("--data", nargs="+", choices=KINDS, default=list(KINDS), help="their kinds (default both)")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="parts to run (default all, none with --store)")
    parser.add_argument(
        "--store",
        type=stores.store,
        metavar="milvus[://HOST:PORT]",
        help="compare the embedded store with Milvus: one that is started here (scripts/install-milvus), or there",
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ITEMS} codes and fewer repeats")
    parser.add_argument("--out", type=Path, default=Path("var/benchmark"), metavar="DIR", help="default var/benchmark")
    arguments = parser.parse_args(given)
    if arguments.only is None:
        arguments.only = [] if arguments.store is not None else list(PARTS)
    if arguments.items is not None and arguments.items < FEWEST_ITEMS:
        parser.error(f"expected --items of {FEWEST_ITEMS} or more, got {arguments.items}")
    if wrong := [bits for bits in arguments.bits if bits % 8]:
        parser.error(f"expected --bits in multiples of 8, got {wrong[0]}")
    return arguments


def measure(sample: Sample, planned: Plan, chosen: set[str], figures: Figures) -> None:
    """All parts of one case, in a folder that goes when they are done; the single ones only where it is the main."""
    case, is_main = sample.case, sample.case == planned.main
    with tempfile.TemporaryDirectory(prefix=".data-", dir=planned.folder) as name:
        folder = Path(name)
        flat = folder / "flat"
        if chosen & (FILLED if is_main else {"search", "http"}):
            with library.opened(flat) as collections:
                with _doing(f"filling a collection, {case}"):
                    library.create(collections, search.COLLECTION, case.bits)
                    library.fill(collections, search.COLLECTION, sample.items)
                if "search" in chosen:
                    with _doing(f"search, {case}"):
                        search.measure(collections, sample, planned, figures)
        if "http" in chosen:
            with _doing(f"http, {case}"):
                http.measure(flat, sample, planned, figures)
        if "ivf" in chosen and case.data == planned.main.data:
            with _doing(f"ivf, {case}"):
                ivf.measure(folder / "ivf", sample, planned, figures)
        if is_main:
            _measure_main(sample, planned, chosen, figures, folder)


def _measure_main(sample: Sample, planned: Plan, chosen: set[str], figures: Figures, folder: Path) -> None:
    # The order counts: deletes leave a collection that is no longer whole, and the rivals' table takes up our figures.
    for part, name, work in (
        ("writes", "written", writes.measure),
        ("start", "flat", starts.measure),
        ("deletes", "flat", deletes.measure),
        ("lag", "lagging", lag.measure),
        ("duplicates", "duplicated", duplicates.measure),
        ("rivals", "", rivals.measure),
    ):
        if part in chosen:
            with _doing(f"{part}, {sample.case}"):
                work(folder / name, sample, planned, figures)


def _measure_stores(store: str, sample: Sample, planned: Plan, figures: Figures) -> None:
    with tempfile.TemporaryDirectory(prefix=".data-", dir=planned.folder) as name:
        folder = Path(name)
        with _doing(f"stores, {sample.case}"), stores.opened(store, folder / "milvus") as compared:
            stores_part.measure(folder / "services", sample, planned, figures, compared)


def write(folder: Path, planned: Plan, figures: Figures, about: dict[str, object]) -> None:
    """The figures as JSON, and as a chart where there are search times."""
    content = {**about, "items": planned.items, "main": str(planned.main), **figures.content()}
    (folder / "benchmark.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"figures: {folder / 'benchmark.json'}")
    picture = draw_picture(figures, planned)
    if picture is not None:
        (folder / "benchmark.png").write_bytes(picture)
        print(f"chart: {folder / 'benchmark.png'}")


@contextmanager
def _doing(what: str) -> Iterator[None]:
    with Console(stderr=True).status(what):
        yield


if __name__ == "__main__":
    run(main)

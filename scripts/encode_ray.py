"""Encode DATA by the workers of a Ray cluster, a shard at a time, into a folder of Parquet: id, code, payload."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models.errors import HammingwayError, InvalidInputError
from models.hasher import Hasher
from models.versions import find_folder
from scripts.coded import ParquetFolder, Sink, coded
from scripts.console import progress, run
from scripts.datasets import DATA_DIR_HELP, DATA_HELP, open_dataset
from scripts.datasets.shard import Shard
from scripts.options import positive
from scripts.outputs import check_writable

SHARDS_A_WORKER = 4
# What goes through it is numbers of shards and of items.
OBJECT_STORE = 2**27


def main() -> None:
    """Look at everything first, then have the shards encoded that are not there yet."""
    parser = argparse.ArgumentParser(prog="python -m scripts.encode_ray", description=__doc__)
    parser.add_argument("hasher", metavar="HASHER", type=Path, help="hasher folder, or its path without the version")
    parser.add_argument("data", metavar="DATA", help=f"{DATA_HELP}, at a path that every worker has")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that every worker has")
    parser.add_argument("--workers", type=positive, default=2, help="each takes a core (default 2)")
    parser.add_argument("--shards", type=positive, help=f"files to write (default {SHARDS_A_WORKER} a worker)")
    parser.add_argument("--address", help="of a Ray cluster (default: one is started here, and ended)")
    parser.add_argument("--data-dir", type=Path, help=DATA_DIR_HELP)
    arguments = parser.parse_args()
    folder = find_folder(arguments.hasher).resolve()
    hasher = Hasher.load(folder)
    data = open_dataset(arguments.data, arguments.data_dir)
    data.require(hasher.features.modality)
    check_writable(arguments.out)
    count = arguments.shards or SHARDS_A_WORKER * arguments.workers
    sink = ParquetFolder(arguments.out.resolve(), hasher.reference, hasher.bits)
    sizes = sink.sizes(count)
    source = str(Path(arguments.data).resolve()) if Path(arguments.data).exists() else arguments.data
    missing = [number for number, size in enumerate(sizes, 1) if size is None]
    with progress("encoding", data.size) as advance:
        advance(sum(size for size in sizes if size is not None))
        if missing:
            for size in by_ray(arguments, missing, (folder, source, arguments.data_dir, count, sink)):
                advance(size)
    total = sum(size or 0 for size in sink.sizes(count))
    print(f"wrote {arguments.out}: {total} items in {count} files, {hasher.bits} bits by {hasher.reference}")


class Encoder:
    """What runs on a worker: a hasher, loaded once, and then shards by their numbers."""

    def __init__(self, hasher: Path, data: str, data_dir: Path | None, count: int, sink: Sink) -> None:
        self._hasher = Hasher.load(hasher)
        self._data, self._data_dir, self._count, self._sink = data, data_dir, count, sink

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
        """Encode the shards `number` (n,); returns the `size` of each, and what was `wrong` with it, if anything."""
        done = [self._encode(Shard(int(number), self._count)) for number in batch["number"]]
        return {"size": [size for size, _ in done], "wrong": [wrong for _, wrong in done]}

    def _encode(self, shard: Shard) -> tuple[int, str]:
        try:
            data = open_dataset(self._data, self._data_dir, shard)
            return self._sink.write(shard, coded(data, self._hasher)), ""
        except (HammingwayError, OSError) as error:
            # Told, not raised: Ray would try again, and wrap the text in traces of its own.
            return 0, str(error)


def by_ray(arguments: argparse.Namespace, numbers: list[int], made_of: tuple[Any, ...]) -> Iterator[int]:
    """The sizes of shards, as their workers have encoded them."""
    # Read when Ray is first imported. It would tell its makers of every cluster.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InvalidInputError("expected Ray: pip install -c constraints.txt '.[ray]'") from None
    here = {"num_cpus": arguments.workers, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    where = {"address": arguments.address} if arguments.address else {"address": "local", **here}
    ray.init(**where, logging_level="ERROR", log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        shards = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        encoded = shards.map_batches(
            Encoder,
            fn_constructor_args=made_of,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=arguments.workers),
            num_cpus=1,
        )
        for row in encoded.iter_rows():
            yield size_of(row)
    except ray.exceptions.RayError as error:
        raise InvalidInputError(f"expected every worker to go on: {str(error).strip().splitlines()[-1]}") from None
    finally:
        ray.shutdown()


def size_of(row: dict[str, Any]) -> int:
    """The number of items of a shard; raises InvalidInputError with what its worker said was wrong."""
    if row["wrong"]:
        raise InvalidInputError(row["wrong"])
    return int(row["size"])


if __name__ == "__main__":
    run(main)

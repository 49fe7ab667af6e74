"""Encode DATA by the workers of a Ray cluster, a shard at a time: into a folder of Parquet, or into Milvus."""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from pydantic import ValidationError

from models.errors import HammingwayError, InvalidInputError
from models.hasher import Hasher
from models.versions import find_folder
from scripts.coded import ParquetFolder, ParquetShards, Sink
from scripts.console import progress, run
from scripts.datasets import DATA_DIR_HELP, DATA_HELP, open_dataset
from scripts.datasets.shard import Shard
from scripts.options import positive
from scripts.outputs import check_writable
from service.http.replies.wording import told
from service.settings import PREFIX, Settings

if TYPE_CHECKING:
    from scripts.milvus.sink import MilvusCollection

SHARDS_A_WORKER = 4
# What goes through it is numbers of shards and of items.
OBJECT_STORE = 2**27


def main() -> None:
    """Look at everything first, then have the shards encoded that are not there yet."""
    arguments = parse()
    folder = find_folder(arguments.hasher).resolve()
    hasher = Hasher.load(folder)
    data = open_dataset(arguments.data, arguments.data_dir)
    data.require(hasher.features.modality)
    count = arguments.shards or SHARDS_A_WORKER * arguments.workers
    if arguments.out is not None:
        check_writable(arguments.out)
        files = ParquetFolder(arguments.out.resolve(), hasher.reference, hasher.bits)
        total = encode(arguments, data.size, ParquetShards(files, folder), files.sizes(count))
        where = f"{arguments.out}: {total} items in {count} files"
    else:
        into = milvus_collection(arguments, folder)
        total = encode(arguments, data.size, into, [None] * count)
        where = f"{arguments.into!r} in {into.address.store}: {total} items"
    print(f"wrote {where}, {hasher.bits} bits by {hasher.reference}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.encode_ray", description=__doc__)
    parser.add_argument("hasher", metavar="HASHER", type=Path, help="hasher folder, or its path without the version")
    parser.add_argument("data", metavar="DATA", help=f"{DATA_HELP}, at a path that every worker has")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="folder that every worker has")
    where.add_argument("--into", metavar="C", help="collection of a Milvus that every worker reaches")
    parser.add_argument("--store", metavar="milvus://HOST:PORT", help=f"the Milvus (default {PREFIX}STORE)")
    parser.add_argument("--create", action="store_true", help="create the collection where it is missing")
    parser.add_argument("--workers", type=positive, default=2, help="each takes a core (default 2)")
    parser.add_argument("--shards", type=positive, help=f"parts, or files, to do (default {SHARDS_A_WORKER} a worker)")
    parser.add_argument("--address", help="of a Ray cluster (default: one is started here, and ended)")
    parser.add_argument("--data-dir", type=Path, help=DATA_DIR_HELP)
    arguments = parser.parse_args()
    if arguments.into is None and (arguments.store is not None or arguments.create):
        parser.error("expected --store and --create with --into, got --out")
    return arguments


def milvus_collection(arguments: argparse.Namespace, hasher: Path) -> "MilvusCollection":
    """What is written to, which has to be there and to be coded by this hasher; raises InvalidInputError, or others."""
    try:
        from scripts.milvus.sink import MilvusCollection
        from service.milvus.address import configured
    except ImportError:
        raise InvalidInputError("expected the client of Milvus: pip install -c constraints.txt '.[milvus]'") from None
    try:
        settings = Settings(**({} if arguments.store is None else {"store": arguments.store}))
    except ValidationError as error:
        fault = error.errors()[0]
        raise InvalidInputError(told(fault), "/".join(map(str, fault["loc"]))) from None
    if settings.embedded:
        raise InvalidInputError("expected a Milvus, as --store milvus://HOST:PORT, to write into a collection")
    into = MilvusCollection(arguments.into, configured(settings), hasher)
    if arguments.create:
        into.create()
    into.require()
    return into


def encode(arguments: argparse.Namespace, size: int, sink: Sink, sizes: Sequence[int | None]) -> int:
    """Have the shards encoded whose size is not known yet; returns the number of items of all."""
    source = str(Path(arguments.data).resolve()) if Path(arguments.data).exists() else arguments.data
    missing = [number for number, there in enumerate(sizes, 1) if there is None]
    total = sum(there for there in sizes if there is not None)
    with progress("encoding", size) as advance:
        advance(total)
        if missing:
            for done in by_ray(arguments, missing, (sink, source, arguments.data_dir, len(sizes))):
                advance(done)
                total += done
    return total


class Encoder:
    """What runs on a worker: shards by their numbers, into a sink, which loads the hasher once."""

    def __init__(self, sink: Sink, data: str, data_dir: Path | None, count: int) -> None:
        self._sink, self._data, self._data_dir, self._count = sink, data, data_dir, count

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
        """Encode the shards `number` (n,); returns the `size` of each, and what was `wrong` with it, if anything."""
        done = [self._encode(Shard(int(number), self._count)) for number in batch["number"]]
        return {"size": [size for size, _ in done], "wrong": [wrong for _, wrong in done]}

    def _encode(self, shard: Shard) -> tuple[int, str]:
        try:
            return self._sink.write(shard, open_dataset(self._data, self._data_dir, shard)), ""
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
    _start(ray, where)
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


def _start(ray: Any, where: dict[str, Any]) -> None:
    """Start or join a cluster; raises InvalidInputError where that fails twice."""
    for last in (False, True):
        try:
            ray.init(**where, logging_level="ERROR", log_to_driver=False)
            return
        except Exception as error:
            # It has no class of its own for what it says when its processes are not up within 30 seconds, as on a busy
            # machine, or when they are first run.
            ray.shutdown()
            if last:
                raise InvalidInputError(f"expected Ray to start: {str(error).strip().splitlines()[-1]}") from None


def size_of(row: dict[str, Any]) -> int:
    """The number of items of a shard; raises InvalidInputError with what its worker said was wrong."""
    if row["wrong"]:
        raise InvalidInputError(row["wrong"])
    return int(row["size"])


if __name__ == "__main__":
    run(main)

"""Stream DATA into a collection over HTTP. It may be stopped and run again: an id that is there is replaced."""

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import orjson

from models.errors import InvalidInputError
from scripts.connecting import add_service_option, connect
from scripts.console import progress, run
from scripts.datasets import DATA_DIR_HELP, DATA_HELP, open_dataset
from scripts.datasets.lines import Lines
from scripts.datasets.ndjson import SUFFIXES
from scripts.datasets.shard import WHOLE, Shard, add_shard_option
from scripts.documents import in_json
from scripts.options import positive, whole
from service.client import Client, Collection, Indexed, ServiceError
from service.store.schema import IndexKind, KeepFeatures

UNKNOWN_COLLECTION = 404
KINDS = get_args(IndexKind)
KEPT = get_args(KeepFeatures)


def main() -> None:
    """Create the collection where it is missing, send, and list what was rejected; exit code 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m scripts.index", description=__doc__)
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    add_service_option(parser)
    parser.add_argument("--collection", required=True, metavar="C")
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument("--hasher", metavar="H", help="name, or name@version, to create the collection with")
    settings.add_argument("--bits", type=whole, help="code length to create the collection with, if items bring codes")
    parser.add_argument("--keep-documents", action="store_true", help="create it so that it can be coded anew")
    parser.add_argument("--keep-features", choices=KEPT, help="create it with features to rank by")
    parser.add_argument("--index", choices=KINDS, help="create it to be searched so (default: flat, exactly)")
    parser.add_argument("--lists", type=positive, metavar="N", help="of an IVF index (default: by its size)")
    parser.add_argument("--probes", type=positive, metavar="N", help="lists that a search looks into")
    parser.add_argument("--above", type=positive, metavar="N", help="of auto: exact up to N items (default: 1,000,000)")
    parser.add_argument("--data-dir", type=Path, help=DATA_DIR_HELP)
    add_shard_option(parser)
    arguments = parser.parse_args()
    wanted = wanted_settings(arguments)
    source = open_source(arguments.data, arguments.data_dir, arguments.shard)
    with connect(arguments.url) as client:
        described = open_collection(client, arguments.collection, wanted)
        done = Indexed(0)
        try:
            with progress("indexing", source.size) as advance:

                def show(so_far: Indexed) -> None:
                    nonlocal done
                    advance(so_far.lines - done.lines)
                    done = so_far

                client.index_lines(arguments.collection, source.lines, progress=show)
        except ServiceError as error:
            done = Indexed(error.indexed or 0, error.rejected)
            raise
        finally:
            for fault in done.rejected:
                print(f"line {fault.line}{source.origin}: {fault.detail}", file=sys.stderr)
            coded = f"coded by {described.hasher}" if described.hasher else f"{described.bits} bits"
            print(f"{done.indexed} items indexed in {arguments.collection!r}, {coded}")
    if done.rejected:
        raise InvalidInputError(f"expected {done.lines} usable lines, got {len(done.rejected)} that were rejected")


@dataclass(frozen=True)
class Source:
    """Items as lines of JSON, how many there are, and what follows the number of a line where they are a part."""

    size: int
    lines: Iterable[bytes]
    origin: str = ""


def open_source(data: str, data_dir: Path | None, shard: Shard = WHOLE) -> Source:
    """The items of DATA: an NDJSON file's own lines, for the service to judge."""
    path = Path(data)
    if path.is_file() and path.suffix in SUFFIXES:
        lines = Lines(path, shard)
        return Source(sum(1 for _ in lines), lines, lines.origin)
    dataset = open_dataset(data, data_dir, shard)
    walked = (
        orjson.dumps({"id": item.id, dataset.modality: in_json(item.document), "payload": item.payload})
        for item in dataset.walk()
    )
    return Source(dataset.size, walked, "" if shard == WHOLE else f" of shard {shard}")


def wanted_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the collection is to be created with; empty where it has to be there already."""
    chosen = {name: getattr(arguments, name) for name in ("lists", "probes", "above")}
    index = {name: value for name, value in chosen.items() if value is not None}
    if arguments.index or index:
        # The service says what is wrong with lists of a flat one.
        index["kind"] = arguments.index or ("auto" if "above" in index else "ivf")
    given = {
        "hasher": arguments.hasher,
        "bits": arguments.bits,
        "keep_features": arguments.keep_features,
        "keep_documents": arguments.keep_documents or None,
        "index": index or None,
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    if wanted and arguments.hasher is None and arguments.bits is None:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in wanted)
        raise InvalidInputError(
            f"expected --hasher or --bits with {options}, to create the collection with, got neither"
        )
    return wanted


def open_collection(client: Client, name: str, wanted: Mapping[str, Any]) -> Collection:
    """The collection as it is, created where it is missing; one that is there has to be as it is wanted."""
    if wanted:
        return client.create_collection(name, **wanted)
    try:
        return client.collection(name)
    except ServiceError as error:
        if error.status != UNKNOWN_COLLECTION:
            raise
        raise InvalidInputError(f"expected --hasher or --bits to create {name!r} with, as it is missing") from None


if __name__ == "__main__":
    run(main)

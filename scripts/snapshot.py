"""Take a snapshot of a collection of a running service, or put one into a data folder, also of a running service."""

import argparse
from pathlib import Path

from models.errors import InvalidInputError
from models.versions import NAME, NAME_RULE
from scripts.connecting import add_service_option, connect
from scripts.console import run
from service.settings import Settings
from service.store.snapshots import restore


def main() -> None:
    """One line says what was done."""
    parser = argparse.ArgumentParser(prog="python -m scripts.snapshot", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    taking = commands.add_parser("create", help="have the service write one into `snapshots` in its data folder")
    taking.add_argument("collection", metavar="C")
    add_service_option(taking)
    putting = commands.add_parser("restore", help="verify one, and create its collection, whole or not at all")
    putting.add_argument("file", metavar="FILE", type=Path, help="a snapshot, with its .sha256 beside it")
    putting.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder; made where missing")
    putting.add_argument("--collection", metavar="C", help="its new name (default: the one it had)")
    arguments = parser.parse_args()
    if arguments.command == "create":
        create(arguments.collection, arguments.url)
    else:
        put(arguments.file, arguments.data, arguments.collection)


def create(collection: str, url: str) -> None:
    """Ask the service for a snapshot."""
    with connect(url) as client:
        taken = client.snapshot(collection)
    print(f"{taken.items} items of {collection!r} in {taken.snapshot}, {taken.bytes} bytes, {taken.sha256}")


def put(file: Path, data: Path, collection: str | None) -> None:
    """Restore a snapshot into a data folder."""
    if collection is not None and not NAME.fullmatch(collection):
        raise InvalidInputError(f"--collection: expected {NAME_RULE}, got {collection}")
    data.mkdir(parents=True, exist_ok=True)
    name, items = restore(file, Settings(data=data).database, collection)
    print(f"{items} items restored as {name!r} in {data}, every checksum verified")


if __name__ == "__main__":
    run(main)

"""Move a collection from one running service to another, whichever stores they have, and verify that it is the same.

Only what is missing or differs is sent: it may be stopped, and run again. The source stays as it is.
"""

import argparse
from dataclasses import replace

from scripts.connecting import TARGET_KEY_VARIABLE, connect
from scripts.console import progress, run
from scripts.migrate.moving import Side, copy, verify
from scripts.migrate.target import carried, open_target, require_same_hasher
from scripts.options import positive

PAGE_ITEMS = 1000


def main() -> None:
    """Send, then compare all items of both; the last line says how many there are, and their checksum."""
    parser = argparse.ArgumentParser(prog="python -m scripts.migrate", description=__doc__)
    parser.add_argument("collection", metavar="C")
    parser.add_argument("--from", dest="source", required=True, metavar="URL", help="the service that has it")
    parser.add_argument("--to", dest="target", required=True, metavar="URL", help="the service that gets it")
    parser.add_argument("--name", metavar="C", help="its name there (default: the one it has)")
    parser.add_argument("--page-items", type=positive, default=PAGE_ITEMS, help=f"read at once (default {PAGE_ITEMS})")
    parser.add_argument("--verify", action="store_true", help="only compare, send nothing")
    arguments = parser.parse_args()
    with connect(arguments.source) as giving, connect(arguments.target, TARGET_KEY_VARIABLE) as getting:
        source = Side(giving, arguments.collection, arguments.page_items)
        target = Side(getting, arguments.name or arguments.collection, arguments.page_items)
        move(source, target, only_verify=arguments.verify)


def move(source: Side, target: Side, *, only_verify: bool) -> None:
    """One collection, with a line about each step."""
    described = source.client.collection(source.name)
    if only_verify:
        there = target.client.collection(target.name)
    else:
        if described.hasher is not None:
            require_same_hasher(described.hasher, source.client, target.client)
        there = open_target(target.client, target.name, described)
    parts, left = carried(described, there)
    for part in left:
        print(f"the {part} of each item is left: {target.name!r} keeps none")
    source, target = replace(source, parts=parts), replace(target, parts=parts)
    if not only_verify:
        with progress("sending", described.count) as advance:
            sent = copy(source, target, advance)
        print(f"{sent} of {described.count} items sent, the rest was there")
    with progress("comparing", described.count) as advance:
        count, checksum = verify(source, target, advance)
    print(f"{count} items are the same in both, SHA-256 {checksum}")


if __name__ == "__main__":
    run(main)

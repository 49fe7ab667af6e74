"""What the database holds, read beside the service, and what searches over it have to answer, by brute force."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.faults.known import Value
from tests.faults.oracle import by_distance

EVERYTHING = 10_000
DATABASE = "hammingway.sqlite"


def stored(data: Path, collection: str, prefix: Sequence[str] = ()) -> dict[str, Value]:
    """All items of a collection, while a service has the database open: nothing is recovered or tidied up by this.

    `prefix` is a command that runs others where they see the folder, should this process not see it.
    """
    rows = _rows(data, collection) if not prefix else _rows_seen_from(prefix, data, collection)
    found = {item_id: Value(code, json.loads(payload) if payload else None) for item_id, code, payload in rows}
    assert len(found) == len(rows), "an id is there twice"
    return found


def _rows(data: Path, collection: str) -> list[tuple[str, str, str | None]]:
    with closing(sqlite3.connect(f"file:{data / DATABASE}?mode=ro", uri=True)) as connection:
        return connection.execute(
            "SELECT id, lower(hex(code)), CAST(payload AS TEXT) FROM items"
            " WHERE collection = (SELECT number FROM collections WHERE name = ?)",
            (collection,),
        ).fetchall()


def _rows_seen_from(prefix: Sequence[str], data: Path, collection: str) -> list[tuple[str, str, str | None]]:
    # SQLite resolves links: it cannot be given the way through /proc into another mount namespace.
    command = [*prefix, sys.executable, "-m", "tests.faults.truth", str(data), collection]
    rows: list[tuple[str, str, str | None]] = json.loads(subprocess.check_output(command, timeout=60))
    return rows


def assert_answers(client: httpx.Client, collection: str, items: dict[str, Value], random: np.random.Generator) -> int:
    """Searches and gets give these items, and no others; returns how many replies were compared."""
    bits = int(client.get(f"/v1/collections/{collection}").raise_for_status().json()["bits"])
    codes = [bytes.fromhex(value.code) for value in items.values()]
    by_code = dict(zip(items, codes, strict=True))
    asked = [random.bytes(bits // 8), *codes[:1], *codes[-1:]]
    # All of them; the nearest few; those within about as far as a random code is from another.
    for limit, max_distance in ((EVERYTHING, bits), (10, None), (50, bits // 2 - 3), (7, bits // 4)):
        body: dict[str, Any] = {"queries": [{"code": code.hex()} for code in asked], "limit": limit}
        if max_distance is not None:
            body["max_distance"] = max_distance
        results = _search(client, collection, body)
        for code, found in zip(asked, results, strict=True):
            assert found == nearest(code, by_code, items, limit, max_distance)
    chosen = [str(item_id) for item_id in random.permutation(list(items))[:5]]
    for item_id in chosen:
        found = client.get(f"/v1/collections/{collection}/items/{item_id}").raise_for_status().json()
        told = {"id": item_id, "code": items[item_id].code, "payload": items[item_id].payload or {}, "hasher": None}
        assert found == told
        results = _search(client, collection, {"queries": [{"id": item_id}], "limit": 10})
        others = {other: code for other, code in by_code.items() if other != item_id}
        assert results == [nearest(by_code[item_id], others, items, 10, None)]
    return 4 * len(asked) + 2 * len(chosen)


def _search(client: httpx.Client, collection: str, body: dict[str, Any]) -> list[list[tuple[int, str, Any]]]:
    reply = client.post(f"/v1/collections/{collection}/search", json=body)
    assert reply.status_code == 200, reply.text
    return [[(match["distance"], match["id"], match["payload"]) for match in one] for one in reply.json()["results"]]


def nearest(
    query: bytes, codes: dict[str, bytes], items: dict[str, Value], limit: int, max_distance: int | None
) -> list[tuple[int, str, Any]]:
    """The nearest items as (distance, id, payload), by brute force over their packed codes."""
    order = by_distance(query, codes)
    near = [(distance, item_id) for distance, item_id in order if max_distance is None or distance <= max_distance]
    return [(distance, item_id, items[item_id].payload or {}) for distance, item_id in near[:limit]]


if __name__ == "__main__":
    print(json.dumps(_rows(Path(sys.argv[1]), sys.argv[2])))

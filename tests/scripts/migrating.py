"""Items to move, with every odd id and payload among them, and the checksum that they have to have."""

import hashlib
import json
from typing import Any

import numpy as np

from service.client import Client

BITS = 32
ODD_IDS = [" ", "'", '"; --', "a/b", "é", "e\u0301", "\U0001f41f", "z" * 300, "\ud7ff", "\uffee"]
PAYLOADS = [{}, {"n": 1}, {"n": 1.0}, {"n": True}, {"n": None}, {"b": [1, {"ü": "ß"}], "a": -(2**63)}, {"x": 0.1}]


def made(count: int, seed: int = 3) -> list[dict[str, Any]]:
    """Items in no order, with every odd id and payload among them."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 256, (count, BITS // 8), dtype=np.uint8)
    ids = [*ODD_IDS, *(f"item-{number}" for number in range(count - len(ODD_IDS)))]
    items = [
        {"id": item_id, "code": code.tobytes().hex(), "payload": PAYLOADS[place % len(PAYLOADS)]}
        for place, (item_id, code) in enumerate(zip(ids, codes, strict=True))
    ]
    return [items[place] for place in generator.permutation(count)]


def checksum(items: list[dict[str, Any]]) -> str:
    """The checksum as the reference describes it, from the items themselves."""
    hashed = hashlib.sha256()
    for item in sorted(items, key=lambda item: str(item["id"]).encode()):
        text = json.dumps([item["id"], item["code"], item["payload"]], sort_keys=True, separators=(",", ":"))
        hashed.update(text.encode("ascii") + b"\n")
    return hashed.hexdigest()


def fill(client: Client, name: str, items: list[dict[str, Any]]) -> None:
    client.create_collection(name, bits=BITS)
    assert client.index_lines(name, items).rejected == []


def nothing(_: int) -> None:
    """No progress is shown."""

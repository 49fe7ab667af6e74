"""What tests of re-coding ask a service for, and what has to be there afterwards."""

import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from models.features import Document
from models.hasher import Hasher

Json = dict[str, Any]
LONGEST_SECONDS = 60


@cache
def hasher(folder: Path) -> Hasher:
    return Hasher.load(folder)


def codes(versions: Path, reference: str, documents: Mapping[str, Document]) -> dict[str, str]:
    """What each item's code has to be, in hex, by id: each document by itself."""
    folder = versions / reference
    return {
        item_id: _code(folder, tuple(document) if isinstance(document, list) else document)
        for item_id, document in documents.items()
    }


@cache
def _code(folder: Path, document: Any) -> str:
    return hasher(folder).encode([list(document) if isinstance(document, tuple) else document])[0].tobytes().hex()


def vectors(seed: int, count: int, prefix: str = "v") -> dict[str, list[float]]:
    """Random vectors of 12 numbers by id, whose ids are in their order."""
    rows = np.random.default_rng(seed).standard_normal((count, 12)).astype(np.float32)
    return {f"{prefix}{number:05d}": row.tolist() for number, row in enumerate(rows)}


def create(client: httpx.Client, name: str, hasher: str = "vectors@1", **settings: Any) -> str:
    """A new collection's path."""
    path = f"/v1/collections/{name}"
    reply = client.put(path, json={"hasher": hasher, **({"keep_documents": True} | settings)})
    assert reply.status_code == 201, reply.text
    return path


def write(
    client: httpx.Client, path: str, documents: Mapping[str, Any], kind: str = "vector", batch: int = 500
) -> None:
    items = [{"id": item_id, kind: document, "payload": {"of": item_id}} for item_id, document in documents.items()]
    for start in range(0, len(items), 500):
        reply = client.post(f"{path}/index", json={"items": items[start : start + 500]})
        assert reply.status_code == 200, reply.text


def recode(client: httpx.Client, path: str, hasher: str, **body: Any) -> Json:
    """The job of a re-coding that was begun."""
    reply = client.post(f"{path}/recode", json={"hasher": hasher, **body})
    assert reply.status_code == 202, reply.text
    job: Json = reply.json()
    assert reply.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def over(client: httpx.Client, job: int) -> Json:
    """A job once it is over."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        told: Json = client.get(f"/v1/jobs/{job}").json()
        if told["state"] not in ("queued", "running"):
            return told
        time.sleep(0.02)
    raise AssertionError(f"job {job} is not over: {told}")


def ended(client: httpx.Client, path: str, how: str) -> Json:
    """The job of a re-coding that was finished or rolled back, once it is over."""
    reply = client.post(f"{path}/recode/{how}")
    assert reply.status_code == 202, reply.text
    return over(client, reply.json()["id"])


def stored(client: httpx.Client, path: str) -> dict[str, str]:
    """All codes of a collection, in hex, by id."""
    found: dict[str, str] = {}
    cursor: Sequence[tuple[str, str]] = ()
    while True:
        page = client.get(f"{path}/items", params=[("limit", "1000"), ("with", "code"), *cursor]).json()
        found |= {item["id"]: item["code"] for item in page["items"]}
        if page["cursor"] is None:
            return found
        cursor = [("cursor", page["cursor"])]


def assert_searched(client: httpx.Client, path: str, reference: str, expected: Mapping[str, str], query: Json) -> None:
    """Every item comes back, by its code of this hasher, as far as that is from the query's."""
    reply = client.post(f"{path}/search", json={"query": query, "limit": 10_000, "with": ["code"]}).json()
    assert reply["hasher"] == reference
    assert {match["id"]: match["code"] for match in reply["results"]} == expected
    code = client.post("/v1/encode", json={"hasher": reference, "inputs": [query]}).json()["codes"][0]
    assert_distances(reply["results"], code)


def assert_distances(results: Sequence[Json], code: str) -> None:
    """Each match is as far from a code in hex as it says, and they come in the order (distance, id)."""
    for match in results:
        assert match["distance"] == (int(match["code"], 16) ^ int(code, 16)).bit_count()
    order = [(match["distance"], match["id"]) for match in results]
    assert order == sorted(order)

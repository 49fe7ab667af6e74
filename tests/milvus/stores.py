"""The application over either store, and what its replies have to be by brute force."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from service.settings import Settings
from tests.milvus.server import MilvusServer
from tests.serving import running

BITS = 32


@contextmanager
def serving(
    store: str, folder: Path, milvus: MilvusServer | None = None, readiness: int = 200, **more: Any
) -> Iterator[httpx.Client]:
    """A client of a service over SQLite, or over Milvus."""
    given: dict[str, Any] = {"hashers": folder / "hashers", "data": folder / "data", "threads": 4} | more
    if store == "milvus":
        assert milvus is not None
        given["store"] = milvus.uri.replace("http://", "milvus://")
    with running(Settings(**given), readiness) as client:
        yield client


def put(client: httpx.Client, name: str, **settings: Any) -> dict[str, Any]:
    """A new collection."""
    return done(client.put(f"/v1/collections/{name}", json={"bits": BITS} | settings), 201)


def index(client: httpx.Client, name: str, items: Sequence[dict[str, Any]]) -> None:
    """Items, all in one request."""
    assert done(client.post(f"/v1/collections/{name}/index", json={"items": items})) == {"indexed": len(items)}


def search(client: httpx.Client, name: str, code: str, **wanted: Any) -> list[tuple[str, int]]:
    """Ids and distances."""
    body = {"query": {"code": code}} | wanted
    found = done(client.post(f"/v1/collections/{name}/search", json=body))["results"]
    return [(each["id"], each["distance"]) for each in found]


def done(reply: httpx.Response, status: int = 200) -> Any:
    """The reply's body, which has to be of this status."""
    assert reply.status_code == status, reply.text
    return reply.json()


def nearest(items: Sequence[dict[str, Any]], code: str, limit: int, most: int | None = None) -> list[tuple[str, int]]:
    """By brute force: ids and distances in the order (distance, id)."""
    query = np.frombuffer(bytes.fromhex(code), np.uint8)
    codes = np.frombuffer(b"".join(bytes.fromhex(each["code"]) for each in items), np.uint8).reshape(len(items), -1)
    distances = np.bitwise_count(codes ^ query).sum(axis=1)
    pairs = sorted((int(distance), each["id"]) for distance, each in zip(distances, items, strict=True))
    return [(item_id, distance) for distance, item_id in pairs[:limit] if most is None or distance <= most]


def clear(client: httpx.Client) -> None:
    """Delete what other tests left on the same server."""
    for each in done(client.get("/v1/collections"))["collections"]:
        assert client.delete(f"/v1/collections/{each['name']}").status_code == 204

"""Codes by the workers of a local Ray, written past the service: it finds them as if they had come through it."""

import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.errors import InvalidInputError
from scripts.datasets import open_dataset
from scripts.datasets.shard import Shard
from scripts.milvus import sink
from scripts.milvus.sink import MilvusCollection
from service.collections.collections import Collections
from service.errors import ConflictError, MissingHasherError, StoreUnavailableError
from service.items import Item
from service.milvus.address import Address
from tests.milvus.server import MilvusServer
from tests.milvus.stores import done, put, serving
from tests.recoding.made import add_version
from tests.scripts.test_encode_ray import RAY, ROOT, ROWS, run

ODD_IDS = ["q\"uo'te", "back\\slash", "日本/語", "x" * 512]


@dataclass(frozen=True)
class Parts:
    """A service over Milvus, its hashers, and items of vectors as a file and as requests."""

    client: httpx.Client
    store: str
    hashers: Path
    file: Path
    items: list[dict[str, Any]]

    def sink(self, name: str, hasher: str = "vectors@1") -> MilvusCollection:
        """Past the service, into a collection."""
        return MilvusCollection(name, Address(self.store), self.hashers / hasher)

    def page(self, name: str) -> list[dict[str, Any]]:
        """All items with all that is kept of them."""
        parameters = {"limit": 1000, "with": ["code", "payload", "features", "document"]}
        items: list[dict[str, Any]] = done(self.client.get(f"/v1/collections/{name}/items", params=parameters))["items"]
        return items


@pytest.fixture(scope="module")
def parts(milvus: MilvusServer, hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("ray")
    ids = [*ODD_IDS, *(f"é{place}" for place in range(len(ROWS) - len(ODD_IDS)))]
    items = [
        {"id": item_id, "vector": row.tolist(), "payload": {"n": place, "tags": ["red"][: place % 2]}}
        for place, (item_id, row) in enumerate(zip(ids, ROWS, strict=True))
    ]
    (folder / "items.ndjson").write_text("\n".join(map(json.dumps, items)))
    store = milvus.uri.replace("http://", "milvus://")
    with serving("milvus", folder, milvus, hashers=hashers) as client:
        yield Parts(client, store, hashers, folder / "items.ndjson", items)


@pytest.mark.timeout(600)
def test_two_workers_of_ray_leave_what_the_service_would(parts: Parts) -> None:
    assert RAY.exists(), "expected .venv-ray: scripts/install-ray makes it"
    for name in ("by-ray", "by-service"):
        kept = {"keep_features": "int8", "keep_documents": True}
        done(parts.client.put(f"/v1/collections/{name}", json={"hasher": "vectors", **kept}), 201)
    done(parts.client.post("/v1/collections/by-service/index", json={"items": parts.items}))
    # One that is there already, and is replaced.
    done(parts.client.post("/v1/collections/by-ray/index", json={"items": [parts.items[9] | {"vector": [1.0] * 12}]}))
    command = ["-m", "scripts.encode_ray", parts.hashers / "vectors", parts.file, "--into", "by-ray", "--shards", "3"]
    environment = os.environ | {"HAMMINGWAY_STORE": parts.store, "HAMMINGWAY_STORE_TOKEN": "root:Milvus"}
    ended = subprocess.run(
        [RAY, *command], capture_output=True, text=True, timeout=280, cwd=ROOT, env=environment, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"wrote 'by-ray' in {parts.store}: 301 items, 64 bits by vectors@1\n"
    assert parts.page("by-ray") == parts.page("by-service")
    assert len(parts.page("by-ray")) == len(ROWS) == done(parts.client.get("/v1/collections/by-ray"))["count"]
    query = {"query": {"vector": ROWS[5].tolist()}, "rank": "rescored", "limit": 20, "filter": {"tags": "red"}}
    found = [done(parts.client.post(f"/v1/collections/{name}/search", json=query)) for name in ("by-ray", "by-service")]
    assert found[0] == found[1] and found[0]["results"][0]["id"] == "é1"


def test_a_shard_that_comes_twice_is_there_once(parts: Parts) -> None:
    # As it comes to a worker.
    into = pickle.loads(pickle.dumps(parts.sink("twice")))
    into.create()
    into.require()
    for number in (2, 1, 2):
        into.write(Shard(number, 2), open_dataset(str(parts.file), shard=Shard(number, 2)))
    found = done(parts.client.get("/v1/collections/twice/items", params={"limit": 1000}))["items"]
    assert [each["id"] for each in found] == sorted(each["id"] for each in parts.items)
    hexes = {each["id"]: each["code"] for each in found}
    inputs = [{"vector": each["vector"]} for each in parts.items]
    encoded = done(parts.client.post("/v1/encode", json={"hasher": "vectors", "inputs": inputs}))["codes"]
    assert [hexes[each["id"]] for each in parts.items] == encoded


def test_what_does_not_fit_is_refused_before_anything_is_written(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"expected a collection 'missing' in milvus://.*, got none: --create"):
        parts.sink("missing").require()
    put(parts.client, "own-codes", bits=64)
    done(parts.client.put("/v1/collections/texts-here", json={"hasher": "pydocs"}), 201)
    for name, has in (("own-codes", "takes codes as they are given"), ("texts-here", "is coded by pydocs@1")):
        with pytest.raises(InvalidInputError, match=f"expected '{name}' to be coded by vectors@1, it {has}"):
            parts.sink(name).require()
        with pytest.raises(ConflictError):
            parts.sink(name).create()
    with pytest.raises(InvalidInputError, match="for the collection, got 'A b'"):
        parts.sink("A b").create()
    # Of the same name and version, with other weights.
    shutil.copytree(parts.hashers / "vectors@1", tmp_path / "vectors@1")
    add_version(tmp_path, "vectors@1", 2)
    shutil.rmtree(tmp_path / "vectors@1")
    add_version(tmp_path, "vectors@2", 1)
    parts.sink("bound-here").create()
    other = MilvusCollection("bound-here", Address(parts.store), tmp_path / "vectors@1")
    with pytest.raises(MissingHasherError, match="'bound-here' needs the hasher vectors@1 that it was created with"):
        other.write(Shard(), open_dataset(str(parts.file)))
    assert done(parts.client.get("/v1/collections/bound-here"))["count"] == 0
    command = ("scripts.encode_ray", parts.hashers / "vectors", parts.file, "--into", "missing", "--store", parts.store)
    ended = run(Path(".venv/bin/python"), *command)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1) and "got none: --create makes it" in ended.stderr


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        ({"id": ".."}, "item '..': expected an id that is neither"),
        ({"id": "x" * 513}, "expected an id of 1 to 512 bytes, got 513"),
        ({"payload": [1]}, "item 'b': expected a JSON object, got a list"),
        ({"vector": [1.0]}, "items from 'a' of bad: nothing was indexed: items/1/vector: expected a vector of 12"),
        ({"payload": {"x": "y" * 70_000}}, "items/1/payload: expected at most 65535 bytes"),
        ({"id": "a"}, "expected each id once in a request, got 'a' again"),
    ],
)
def test_a_bad_item_ends_it(parts: Parts, tmp_path: Path, item: dict[str, Any], wrong: str) -> None:
    good = {"id": "a", "vector": [0.5] * 12}
    (tmp_path / "bad.ndjson").write_text("\n".join(map(json.dumps, [good, good | {"id": "b"} | item])))
    into = parts.sink("bad")
    into.create()
    with pytest.raises(InvalidInputError, match=wrong.replace("..", r"\.\.")):
        into.write(Shard(), open_dataset(str(tmp_path / "bad.ndjson")))
    assert done(parts.client.get("/v1/collections/bad"))["count"] == 0


def test_a_milvus_that_is_away_for_a_while_is_waited_for(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    upsert = Collections.upsert

    def away(collections: Collections, name: str, items: Sequence[Item]) -> None:
        if len(waited) < 2:
            raise StoreUnavailableError("expected Milvus to answer")
        upsert(collections, name, items)

    monkeypatch.setattr(sink, "sleep", waited.append)
    monkeypatch.setattr(Collections, "upsert", away)
    into = parts.sink("waits")
    into.create()
    assert into.write(Shard(), open_dataset(str(parts.file))) == len(ROWS)
    assert waited == [1.0, 2.0]
    assert done(parts.client.get("/v1/collections/waits"))["count"] == len(ROWS)
    # Nothing listens there.
    gone = MilvusCollection("waits", Address("milvus://127.0.0.1:1", seconds=1), into.hasher)
    with pytest.raises(StoreUnavailableError):
        gone.write(Shard(), open_dataset(str(parts.file)))
    assert waited == [1.0, 2.0, *sink.WAITS_SECONDS]

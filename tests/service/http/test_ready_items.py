"""Items that bring their codes, and what another collection kept beside them: as they are read, they are indexed."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.coding import ready
from service.items import Item, Kept
from service.settings import Settings
from service.store.schema import CollectionRow, CollectionSettings
from tests.conftest import DIMENSION
from tests.serving import running

ALL = {"with": ["code", "payload", "features", "document"]}
ONES = [1.0] * DIMENSION
READY: dict[str, Any] = {"id": "a", "code": "0f" * 8, "features": ONES, "document": {"vector": ONES}}


@pytest.fixture(scope="module")
def client(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    with running(Settings(hashers=hashers, data=tmp_path_factory.mktemp("ready"))) as client:
        for keep in ("none", "float16", "int8"):
            for documents in (False, True):
                settings = {"hasher": "vectors", "keep_features": keep, "keep_documents": documents}
                client.put(f"/v1/collections/{keep}-{documents}".lower(), json=settings).raise_for_status()
        client.put("/v1/collections/own", json={"bits": 64}).raise_for_status()
        yield client


@pytest.mark.parametrize("name", ["none-true", "float16-true", "int8-true", "float16-false", "int8-false"])
def test_an_item_that_was_read_is_indexed_as_it_was(client: httpx.Client, name: str) -> None:
    path = f"/v1/collections/{name}"
    carried = [part for part in ALL["with"] if (part != "features" or "none" not in name)]
    carried = [part for part in carried if part != "document" or "true" in name]
    vector = (np.random.default_rng(1).standard_normal(DIMENSION) * 1e-3).astype(np.float32)
    client.post(f"{path}/index", json={"items": [{"id": "made", "vector": vector.tolist()}]}).raise_for_status()
    read = client.get(f"{path}/items/made", params={"with": carried}).json()
    del read["hasher"]
    for body, headers in (
        ({"json": {"items": [read | {"id": "again"}]}}, {}),
        (
            {"content": httpx.Request("POST", "http://x", json=read | {"id": "line"}).content},
            {"Content-Type": "application/x-ndjson"},
        ),
    ):
        reply = client.post(f"{path}/index", headers=headers, **body)
        assert reply.status_code == 200 and reply.json()["indexed"] == 1, reply.text
    for copy in ("again", "line"):
        found = client.get(f"{path}/items/{copy}", params={"with": carried}).json()
        assert found == read | {"id": copy, "hasher": "vectors@1"}
    # The code is taken at its word.
    client.post(f"{path}/index", json={"items": [read | {"id": "other", "code": "0f" * 8}]}).raise_for_status()
    assert client.get(f"{path}/items/other").json()["code"] == "0f" * 8


@pytest.mark.parametrize(
    ("name", "item", "wrong"),
    [
        (
            "int8-false",
            {"features": None, "document": None},
            "code: expected a document, as the collection keeps features",
        ),
        (
            "none-true",
            {"features": None, "document": None},
            "code: expected a document, as the collection keeps documents",
        ),
        ("int8-true", {"document": None}, "code: expected a document, as the collection keeps documents, got code"),
        ("none-true", {}, f"features: expected none, as the collection keeps no features, got {DIMENSION} numbers"),
        ("own", {"document": None}, "features: expected none, as the collection keeps no features"),
        ("own", {"features": None}, "document: expected none, as the collection keeps no documents, got vector"),
        (
            "int8-false",
            {"features": [1.0], "document": None},
            f"features: expected {DIMENSION} finite numbers, as vectors@1",
        ),
        ("int8-false", {"features": [], "document": None}, "finite numbers, as vectors@1 makes, got 0"),
        (
            "int8-false",
            {"features": [1e39] * DIMENSION, "document": None},
            "finite numbers, as vectors@1 makes, got others",
        ),
        (
            "none-true",
            {"features": None, "document": {"text": "x"}},
            "document: expected vector, as vectors@1 takes, got text",
        ),
        ("none-true", {"features": None, "document": {"vector": [1.0]}}, f"document: expected a vector of {DIMENSION}"),
        ("none-true", {"features": None, "document": {"code": "00"}}, "document/code"),
        (
            "none-true",
            {"features": None, "document": {}},
            "document: expected exactly one of text, image, vector, got none",
        ),
        ("int8-true", {"code": None, "vector": ONES}, "expected features beside a code only, got it beside vector"),
    ],
)
def test_what_does_not_fit_is_refused_by_place(
    client: httpx.Client, name: str, item: dict[str, Any], wrong: str
) -> None:
    given = {key: value for key, value in (READY | item).items() if value is not None}
    reply = client.post(f"/v1/collections/{name}/index", json={"items": [given]})
    assert reply.status_code == 422
    assert wrong in reply.json()["detail"], reply.text
    assert client.get(f"/v1/collections/{name}/items/a").status_code == 404


def test_none_is_taken_while_its_collection_is_re_coded() -> None:
    # The code of its other hasher is made of a document.
    row = CollectionRow(1, "c", CollectionSettings(8, "vectors@1", keep_features="int8"))
    kept = Kept([1.0])
    given = [Item("a", "code", "00"), Item("b", "code", "00", None, kept), Item("c", "vector", [1.0])]
    assert ready.reasons(row, given, False) == {0: "the collection keeps features"}
    assert ready.reasons(row, given, True) == dict.fromkeys((0, 1), "the collection is being re-coded")

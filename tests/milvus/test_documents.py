"""Kept documents over a Milvus: the tests of the embedded store, and documents as long as are kept at all."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.milvus.schema import LONGEST_DOCUMENT, LONGEST_TEXT
from tests.milvus.server import MilvusServer
from tests.milvus.stores import clear, done, serving
from tests.recoding.calls import create, over, recode, stored
from tests.recoding.conftest import versions
from tests.service.http.test_documents import (
    kept,
    test_a_search_of_many,
    test_an_item_and_a_page,
    test_it_is_refused_where_none_are_kept,
    test_too_much_at_once_is_refused,
)

__all__ = [
    "kept",
    "test_a_search_of_many",
    "test_an_item_and_a_page",
    "test_it_is_refused_where_none_are_kept",
    "test_too_much_at_once_is_refused",
    "versions",
]


@pytest.fixture(scope="module")
def client(milvus: MilvusServer, hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service over Milvus."""
    with serving("milvus", tmp_path_factory.mktemp("documents"), milvus, hashers=hashers) as client:
        clear(client)
        yield client


def test_long_ones_are_kept_whole_and_longer_ones_refused_alone(
    versions: Path, milvus: MilvusServer, tmp_path: Path
) -> None:
    with serving("milvus", tmp_path, milvus, hashers=versions, max_characters=2 * LONGEST_DOCUMENT) as client:
        path = create(client, "long", "pydocs@1")
        # One byte says of which kind it is; é is two.
        texts = {
            "longest": "sort a list " + "é" * 50 + "x" * (LONGEST_DOCUMENT - 1 - 112),
            "one-piece": "copy a file" + "y" * (LONGEST_TEXT // 4 * 3 - 12),
            "two-pieces": "copy a file" + "y" * (LONGEST_TEXT // 4 * 3 - 11),
            "none": "copy",
        }
        items = [{"id": each, "text": text} for each, text in texts.items()]
        assert done(client.post(f"{path}/index", json={"items": items})) == {"indexed": 4}
        for each, text in texts.items():
            assert done(client.get(f"{path}/items/{each}?with=document"))["document"] == {"text": text}
        more = [{"id": "more", "text": texts["longest"] + "x"}, {"id": "other", "text": "a list"}]
        problem = done(client.post(f"{path}/index", json={"items": more}), 413)
        (error,) = problem["errors"]
        assert error["where"] == "items/0/text"
        assert f"at most {LONGEST_DOCUMENT} bytes, as this store keeps no longer ones, got" in error["detail"]
        assert done(client.get(path))["count"] == 4
        job = over(client, recode(client, path, "pydocs@2")["id"])
        assert job["state"] == "succeeded", job
        wanted = {"hasher": "pydocs@2", "inputs": [{"text": text} for text in texts.values()]}
        assert stored(client, path) == dict(
            zip(texts, done(client.post("/v1/encode", json=wanted))["codes"], strict=True)
        )

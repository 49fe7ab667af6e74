"""A collection that is deleted while something is done with it; and ids that no item can have."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import httpx
import pytest

from service.http.requests.ndjson import BATCH_LINES
from service.store.reader import Reader
from tests.service.http.problems import problem_of
from tests.serving import client_of

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def going(client: httpx.Client) -> Iterator[str]:
    """The path of a collection with the items a and b."""
    path = "/v1/collections/going"
    assert client.put(path, json={"bits": 8}).status_code == 201
    items = [{"id": "a", "code": "01"}, {"id": "b", "code": "02"}]
    assert client.post(f"{path}/index", json={"items": items}).is_success
    yield path
    client.delete(path)


def test_an_id_that_no_item_can_have_deletes_none(client: httpx.Client, going: str) -> None:
    # SQLite ends a text in JSON at U+0000: a is another id.
    assert client.post(f"{going}/delete", json={"ids": ["a\0z", "\0b"]}).json() == {"deleted": 0}
    assert client.delete(f"{going}/items/a%00z").status_code == 404
    assert client.get(going).json()["count"] == 2


def test_a_collection_deleted_while_it_is_searched_is_not_an_empty_one(
    client: httpx.Client, going: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_sequence = Reader.by_sequence

    def delete_first(reader: Reader, sequences: Iterable[int]) -> Any:
        monkeypatch.undo()
        assert client.delete(going).status_code == 204
        return by_sequence(reader, sequences)

    monkeypatch.setattr(Reader, "by_sequence", delete_first)
    problem = problem_of(client.post(f"{going}/search", json={"query": {"code": "00"}}), 404)
    assert problem["title"] == "Unknown collection"


def test_an_import_whose_collection_goes_says_what_was_indexed(client: httpx.Client, going: str) -> None:
    line = b'{"id": "c", "code": "00"}\n'

    def lines() -> Iterator[bytes]:
        yield line * BATCH_LINES
        while "c" not in _ids(client, going):
            pass
        assert client.delete(going).status_code == 204
        yield line * BATCH_LINES

    problem = problem_of(client.post(f"{going}/index", content=lines(), headers=NDJSON), 404)
    assert (problem["title"], problem["indexed"]) == ("Unknown collection", BATCH_LINES)


def _ids(client: httpx.Client, path: str) -> Collection[str]:
    with client_of(client.base_url) as other:
        return [item["id"] for item in other.get(f"{path}/items").json()["items"]]

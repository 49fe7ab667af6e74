import json
from collections.abc import Sequence
from urllib.parse import quote

import httpx
import pytest

from service.collections.collections import Collections

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module", autouse=True)
def collection(client: httpx.Client) -> None:
    assert client.put("/v1/collections/c", json={"bits": 16}).status_code == 201


def _index(client: httpx.Client, *items: dict[str, object]) -> None:
    assert client.post("/v1/collections/c/index", json={"items": items}).json() == {"indexed": len(items)}


@pytest.mark.parametrize("item_id", ["a", "a/b", "/", "é 😀", "a?b#c", "%2F", "x" * 512, " ", "..."])
def test_any_id_goes_in_comes_out_and_is_deleted(client: httpx.Client, item_id: str) -> None:
    _index(client, {"id": item_id, "code": "0aff", "payload": {"n": 1, "deep": [{"é": None}]}})
    path = f"/v1/collections/c/items/{quote(item_id, safe='')}"
    item = {"id": item_id, "code": "0aff", "payload": {"n": 1, "deep": [{"é": None}]}}
    assert client.get(path).json() == {**item, "hasher": None}
    assert client.delete(path).json() == {"deleted": 1}
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404


def test_an_upsert_replaces_code_and_payload(client: httpx.Client) -> None:
    _index(client, {"id": "a", "code": "0000", "payload": {"n": 1}})
    before = client.get("/v1/collections/c").json()["count"]
    _index(client, {"id": "a", "code": "00FF"})
    assert client.get("/v1/collections/c/items/a").json() == {"id": "a", "code": "00ff", "payload": {}, "hasher": None}
    assert client.get("/v1/collections/c").json()["count"] == before


def test_delete_passes_over_ids_that_are_not_there(client: httpx.Client) -> None:
    _index(client, {"id": "a", "code": "0000"}, {"id": "b", "code": "0000"})
    body = {"ids": ["a", "nope", "a", "b"]}
    assert client.post("/v1/collections/c/delete", json=body).json() == {"deleted": 2}
    assert client.post("/v1/collections/c/delete", json=body).json() == {"deleted": 0}


def test_an_item_that_comes_just_after_its_delete_is_not_said_to_be_deleted(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete_items = Collections.delete_items

    def then_one_comes(collections: Collections, name: str, ids: Sequence[str]) -> int:
        deleted = delete_items(collections, name, ids)
        _index(client, {"id": "late", "code": "0000"})
        return deleted

    with monkeypatch.context() as patch:
        patch.setattr(Collections, "delete_items", then_one_comes)
        reply = client.delete("/v1/collections/c/items/late")
    assert (reply.status_code, reply.json()["title"]) == (404, "Unknown item")
    assert client.get("/v1/collections/c/items/late").status_code == 200


def test_ndjson_takes_any_number_of_lines_in_any_pieces_and_numbers_the_bad_ones(client: httpx.Client) -> None:
    assert client.put("/v1/collections/lines", json={"bits": 16}).status_code == 201
    lines = [json.dumps({"id": str(number), "code": f"{number:04x}"}) for number in range(5000)]
    bad = {6: "[]", 2500: '{"id": "x"}', 2501: "{", 4999: '{"id": "4998", "code": "f"}'}
    for place, line in bad.items():
        lines[place] = line
    lines.insert(3, "")
    body = "\r\n".join(lines).encode()
    pieces = (body[start : start + 777] for start in range(0, len(body), 777))
    reply = client.post("/v1/collections/lines/index", content=pieces, headers=NDJSON).json()
    assert reply["indexed"] == 5000 - len(bad)
    # Counted from 1, and a blank line counts.
    assert [line["line"] for line in reply["rejected"]] == [place + 2 for place in bad]
    assert client.get("/v1/collections/lines").json()["count"] == 5000 - len(bad)
    assert client.get("/v1/collections/lines/items/4321").json()["code"] == f"{4321:04x}"


def test_of_several_lines_with_one_id_the_last_counts(client: httpx.Client) -> None:
    body = '{"id": "twice", "code": "0001"}\n{"id": "twice", "code": "0002"}\n'
    assert client.post("/v1/collections/c/index", content=body, headers=NDJSON).json() == {"indexed": 2, "rejected": []}
    assert client.get("/v1/collections/c/items/twice").json()["code"] == "0002"


def test_an_empty_import_is_no_error(client: httpx.Client) -> None:
    for body in (b"", b"\n\n"):
        reply = client.post("/v1/collections/c/index", content=body, headers=NDJSON)
        assert reply.json() == {"indexed": 0, "rejected": []}
    assert client.post("/v1/collections/c/index", json={"items": []}).json() == {"indexed": 0}

"""Pages of items: each item that is there throughout exactly once, whatever is written meanwhile."""

import json
import threading
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InvalidInputError
from service.http.requests.cursors import read_cursor, write_cursor
from service.settings import Settings
from service.store import lookups
from tests.serving import client_of, running

NUMBERS = count()
# The order of code points is not that of UTF-16: an emoji comes after U+FFFD.
IDS = ["a", "aa", "b", "b/c", "Z", "~", "é", "\ufffd", "😀", "😀a", " ", "%2F", "a+b", "&=", "0", "00"]


def pages(client: httpx.Client, name: str, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
    cursor: str | None = None
    while True:
        asked = parameters | ({} if cursor is None else {"cursor": cursor})
        reply = client.get(f"/v1/collections/{name}/items", params=asked)
        assert reply.status_code == 200, reply.text
        page = reply.json()
        assert page.keys() == {"items", "cursor", "hasher"}
        yield page["items"]
        assert page["cursor"] is None or page["cursor"] != cursor
        if (cursor := page["cursor"]) is None:
            return


def collection(client: httpx.Client) -> str:
    name = f"pages-{next(NUMBERS)}"
    assert client.put(f"/v1/collections/{name}", json={"bits": 16}).status_code == 201
    return name


def upsert(client: httpx.Client, name: str, items: dict[str, int]) -> None:
    written = [{"id": item_id, "code": f"{n:04x}", "payload": {"n": n}} for item_id, n in items.items()]
    assert client.post(f"/v1/collections/{name}/index", json={"items": written}).is_success


def told(items: dict[str, int]) -> list[dict[str, Any]]:
    return [{"id": item_id, "code": f"{items[item_id]:04x}", "payload": {"n": items[item_id]}} for item_id in items]


def test_a_page_comes_short_where_payloads_are_large(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    name = collection(client)
    # As JSON 9, 9, 9, 29, 9, 9 bytes.
    items = [{"id": str(n), "code": "0000", "payload": {"t": "x" * (21 if n == 3 else 1)}} for n in range(6)]
    client.post(f"/v1/collections/{name}/index", json={"items": items}).raise_for_status()
    monkeypatch.setattr(lookups, "MOST_PAYLOAD_BYTES", 20)
    found = [[item["id"] for item in page] for page in pages(client, name, limit=4)]
    assert found == [["0", "1"], ["2"], ["3"], ["4", "5"]]
    chosen = [[item["id"] for item in page] for page in pages(client, name, limit=4, filter='{"t": "x"}')]
    assert chosen == [["0", "1"], ["2", "4"], ["5"]]


@pytest.mark.parametrize("limit", [1, 3, len(IDS) - 1, len(IDS), len(IDS) + 1])
def test_all_items_in_the_order_of_code_points_whatever_the_limit(client: httpx.Client, limit: int) -> None:
    name, other = collection(client), collection(client)
    held = {item_id: place for place, item_id in enumerate(IDS)}
    upsert(client, name, held)
    # Not to be taken for those of a neighbour.
    upsert(client, other, {"a-other": 1, "😀-other": 2})
    found = list(pages(client, name, limit=limit))
    assert [item for page in found for item in page] == told({item_id: held[item_id] for item_id in sorted(IDS)})
    # Full pages but for the last, which is not empty.
    assert {len(page) for page in found[:-1]} <= {limit} and 1 <= len(found[-1]) <= limit


def test_an_empty_collection_is_one_empty_page_and_the_default_is_a_hundred(client: httpx.Client) -> None:
    name = collection(client)
    assert list(pages(client, name)) == [[]]
    upsert(client, name, {f"{number:03}": number for number in range(250)})
    assert [len(page) for page in pages(client, name)] == [100, 100, 50]


WRITES = st.lists(st.tuples(st.sampled_from(["upsert", "delete"]), st.sampled_from(IDS), st.integers(0, 9)), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    initial=st.dictionaries(st.sampled_from(IDS), st.integers(0, 9)),
    limit=st.integers(1, 4),
    between=st.lists(WRITES, max_size=8),
    below=st.none() | st.integers(1, 8),
)
def test_what_is_there_throughout_comes_exactly_once(
    client: httpx.Client,
    initial: dict[str, int],
    limit: int,
    between: list[list[tuple[str, str, int]]],
    below: int | None,
) -> None:
    """`below`: a filter on the number that every write changes; an item is there as long as it is let through."""
    name = collection(client)
    held = dict(initial)
    upsert(client, name, held)

    def through() -> set[str]:
        return {item_id for item_id, n in held.items() if below is None or n < below}

    throughout, seen = through(), []
    writes = iter(between)
    parameters = {"limit": limit} | ({} if below is None else {"filter": json.dumps({"n": {"lt": below}})})
    for page in pages(client, name, **parameters):
        assert page == told({item["id"]: held[item["id"]] for item in page})
        assert {item["id"] for item in page} <= through()
        seen += [item["id"] for item in page]
        for kind, item_id, n in next(writes, []):
            if kind == "upsert":
                upsert(client, name, {item_id: n})
                held[item_id] = n
            else:
                client.post(f"/v1/collections/{name}/delete", json={"ids": [item_id]})
                held.pop(item_id, None)
            throughout &= through()
    # Ascending without equals: none came twice.
    assert all(one < next_one for one, next_one in pairwise(seen))
    assert throughout <= set(seen)
    client.delete(f"/v1/collections/{name}")


def test_the_same_with_a_writer_that_does_not_wait(client: httpx.Client) -> None:
    name = collection(client)
    stable = [f"{number * 7919 % 10007:05}" for number in range(400)]
    upsert(client, name, dict.fromkeys(stable, 1))
    done, rounds = threading.Event(), []

    def write() -> None:
        with client_of(client.base_url, timeout=60) as writing:
            for number in count():
                upsert(writing, name, dict.fromkeys(stable[number % 5 :: 5], number % 100))
                passing = {f"{number * 37 % 10007:05}-{part}": part for part in range(20)}
                upsert(writing, name, passing)
                writing.post(f"/v1/collections/{name}/delete", json={"ids": list(passing)})
                rounds.append(number)
                if done.is_set():
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            seen = [item["id"] for page in pages(client, name, limit=7) for item in page]
            assert seen == sorted(set(seen))
            assert [item_id for item_id in seen if "-" not in item_id] == sorted(stable)
    finally:
        done.set()
        thread.join()
    assert rounds


def test_a_filter_lets_through_the_same_as_a_search_and_pages_may_come_short(client: httpx.Client) -> None:
    name = collection(client)
    for start in range(0, 25_000, 10_000):
        upsert(client, name, {f"{n:05}": n for n in range(start, min(start + 10_000, 25_000))})
    rare = {"or": [{"n": {"lt": 2}}, {"n": {"gte": 20_500, "lt": 20_503}}]}
    found = list(pages(client, name, limit=10, filter=json.dumps(rare)))
    # 10,000 items are looked at for a page: the second holds none, and there is a third.
    assert [[item["id"] for item in page] for page in found] == [
        ["00000", "00001"],
        [],
        ["20500", "20501", "20502"],
    ]
    many = list(pages(client, name, limit=3000, filter=json.dumps({"n": {"lt": 7000}})))
    assert [len(page) for page in many] == [3000, 3000, 1000, 0]
    assert [item["id"] for page in many for item in page] == [f"{n:05}" for n in range(7000)]


@pytest.mark.parametrize(
    ("given_id", "name"), [("a2", "shoes"), ("é 😀/\ufffd", "c"), ("x" * 512, "x" * 64), ("a", "b" * 3)]
)
def test_a_cursor_is_read_back_and_any_change_is_noticed(given_id: str, name: str) -> None:
    cursor = write_cursor(name, given_id)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert read_cursor(name, cursor) == given_id
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ é"
    changed = [cursor[:-1], cursor + "A", cursor + "=", cursor[1:], "", cursor + "\n"]
    for place in range(0, len(cursor), max(1, len(cursor) // 40)):
        changed += [cursor[:place] + letter + cursor[place + 1 :] for letter in alphabet if letter != cursor[place]]
    for wrong in changed:
        with pytest.raises(InvalidInputError, match="cursor: expected one that a page of"):
            read_cursor(name, wrong)
    with pytest.raises(InvalidInputError, match="cursor: expected one"):
        read_cursor(name + "-", cursor)


def test_bad_parameters_are_told(client: httpx.Client) -> None:
    name = collection(client)
    upsert(client, name, {"a": 1, "b": 2})
    path = f"/v1/collections/{name}/items"
    elsewhere = write_cursor("elsewhere", "a")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"cursor": "x"}, f"cursor: expected one that a page of '{name}' gave, got 'x'"),
        ({"cursor": ""}, f"cursor: expected one that a page of '{name}' gave, got ''"),
        ({"cursor": elsewhere}, f"cursor: expected one that a page of '{name}' gave, got '{elsewhere}'"),
        ({"cursor": "é" * 500}, f"cursor: expected one that a page of '{name}' gave, got '{'é' * 80}...'"),
        ({"limit": 0}, "limit: expected at least 1, got '0'"),
        ({"limit": "many"}, "limit: expected an integer"),
        ({"limit": 10_001}, "limit: expected at most 10000, got 10001"),
        ({"filter": "{"}, "filter: expected JSON: "),
        ({"filter": ""}, "filter: expected JSON, got nothing"),
        ({"filter": "[]"}, "filter: expected a filter, which is an object, got a list"),
        ({"filter": '{"n": {"over": 3}}'}, "filter/n: expected operators, eq, in, "),
        ({"with": "everything"}, "with/0: expected 'payload', 'code', 'features' or 'document', got 'everything'"),
        ({"with": "features"}, "with: expected a collection that keeps features, got features for one that does not"),
    ]
    for parameters, detail in cases:
        reply = client.get(path, params=parameters)
        assert reply.status_code == 422, reply.text
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["detail"].startswith(detail), reply.json()["detail"]
    assert client.get("/v1/collections/nowhere/items").status_code == 404


def test_a_small_largest_limit_is_the_default_too(hashers: Path, tmp_path: Path) -> None:
    with running(Settings(hashers=hashers, data=tmp_path, max_limit=3)) as client:
        name = collection(client)
        upsert(client, name, {str(number): number for number in range(7)})
        assert [len(page) for page in pages(client, name)] == [3, 3, 1]
        assert client.get(f"/v1/collections/{name}/items", params={"limit": 4}).status_code == 422


def test_a_cursor_outlives_a_restart_and_the_item_it_names(hashers: Path, tmp_path: Path) -> None:
    chosen = Settings(hashers=hashers, data=tmp_path)
    with running(chosen) as client:
        name = collection(client)
        upsert(client, name, {"a": 1, "b": 2, "c": 3})
        cursor = client.get(f"/v1/collections/{name}/items", params={"limit": 2}).json()["cursor"]
        assert client.delete(f"/v1/collections/{name}/items/b").is_success
    with running(chosen) as client:
        page = client.get(f"/v1/collections/{name}/items", params={"cursor": cursor}).json()
        assert page == {"items": told({"c": 3}), "cursor": None, "hasher": None}

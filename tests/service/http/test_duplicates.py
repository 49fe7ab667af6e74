"""Duplicates over HTTP: as of one moment, cut off and gone on with, abandoned, refused."""

import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from models.codes import hamming
from service.index.duplicates import groups, steps
from tests.service.collections.test_duplicates import naive

BITS = 64
PATH = "/v1/collections/{}/duplicates"


def create(client: httpx.Client, name: str, codes: dict[str, bytes]) -> None:
    client.put(f"/v1/collections/{name}", json={"bits": BITS}).raise_for_status()
    index(client, name, codes)


def index(client: httpx.Client, name: str, codes: dict[str, bytes]) -> None:
    items = [{"id": item, "code": code.hex(), "payload": {"n": 1}} for item, code in codes.items()]
    for start in range(0, len(items), 5000):
        client.post(f"/v1/collections/{name}/index", json={"items": items[start : start + 5000]}).raise_for_status()


def ask(client: httpx.Client, name: str, max_distance: int, **more: Any) -> list[dict[str, Any]]:
    reply = client.post(PATH.format(name), json={"max_distance": max_distance, **more})
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.text.splitlines()]


def expected(codes: dict[str, bytes], max_distance: int) -> list[dict[str, Any]]:
    ids = sorted(codes)
    packed = np.frombuffer(b"".join(codes[item] for item in ids), np.uint8).reshape(len(ids), -1)
    return [
        {
            "group": number,
            "items": [
                {"id": ids[item], "of": None if of is None else ids[of], "distance": distance}
                for item, of, distance in group
            ],
        }
        for number, group in enumerate(naive(packed, max_distance), 1)
    ]


@pytest.fixture(scope="module")
def codes(client: httpx.Client) -> dict[str, bytes]:
    """Codes near 25 centres, added to and taken from in between; ids in an order of their own, some not ASCII."""
    rng = np.random.default_rng(7)
    centres = rng.integers(0, 256, (25, BITS // 8), np.uint8)
    made = centres[rng.integers(0, 25, 160)] ^ np.packbits(rng.random((160, BITS)) < 0.03, axis=1)
    names = [f"{prefix}{number}" for number in range(40) for prefix in ("a", "é", "😀", "Z")]
    random.Random(0).shuffle(names)
    held = {name: bytes(code) for name, code in zip(names, made, strict=True)}
    create(client, "moving", {**held, "gone": bytes(made[0]), "gone too": bytes(made[1])})
    client.post("/v1/collections/moving/delete", json={"ids": ["gone", "gone too"]}).raise_for_status()
    # Upserted: the code before is no longer its.
    held["a7"] = held["Z3"]
    index(client, "moving", {"a7": held["a7"]})
    return held


@pytest.mark.parametrize("max_distance", [0, 1, 2, 4, 8, 16, 32])
def test_groups_are_exact(client: httpx.Client, codes: dict[str, bytes], max_distance: int) -> None:
    told = ask(client, "moving", max_distance)
    assert told == expected(codes, max_distance)
    assert told
    distances = {
        (item["of"], item["id"]): item["distance"]
        for group in told
        for item in group["items"]
        if item["of"] is not None
    }
    for (of, item), distance in distances.items():
        one, other = (np.frombuffer(codes[each], np.uint8)[None] for each in (of, item))
        assert hamming(one, other)[0, 0] == distance <= max_distance


def test_going_on_after_each_group(client: httpx.Client, codes: dict[str, bytes]) -> None:
    whole = ask(client, "moving", 2)
    assert len(whole) > 10
    for place in (0, len(whole) // 2, len(whole) - 1):
        assert ask(client, "moving", 2, after=whole[place]["items"][0]["id"]) == whole[place + 1 :]
    assert ask(client, "moving", 2, after="") == whole
    # Any text will do: the group it came first in may be gone by now.
    first = whole[3]["items"][0]["id"]
    assert ask(client, "moving", 2, after=first + "!") == whole[4:]


def test_an_empty_collection_and_one_without_duplicates(client: httpx.Client) -> None:
    create(client, "empty", {})
    assert ask(client, "empty", 32) == []
    create(client, "apart", {"a": b"\x00" * 8, "b": b"\xff" * 8})
    assert ask(client, "apart", 32) == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "max_distance: expected a value, got none"),
        ({"max_distance": -1}, "max_distance: expected at least 0, got -1"),
        ({"max_distance": 33}, "max_distance: expected at most half of the 64 bits, got 33"),
        ({"max_distance": 1.5}, "max_distance: expected an integer, got 1.5"),
        ({"max_distance": "1"}, "max_distance: expected an integer, got '1'"),
        ({"max_distance": True}, "max_distance: expected an integer, got true"),
        ({"max_distance": 1, "after": 3}, "after: expected a string, got 3"),
        ({"max_distance": 1, "limit": 3}, "limit: expected nothing of this name, got 3"),
    ],
)
def test_bad_input(client: httpx.Client, codes: dict[str, bytes], body: dict[str, Any], detail: str) -> None:
    reply = client.post(PATH.format("moving"), json=body)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert detail in reply.json()["detail"]


def test_a_collection_that_is_not_there(client: httpx.Client) -> None:
    reply = client.post(PATH.format("nowhere"), json={"max_distance": 1})
    assert reply.status_code == 404
    assert "expected the name of a collection that is there, got 'nowhere'" in reply.json()["detail"]


class Held:
    """Lets the work begin, and go on no further than a test lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.release, self.ended = threading.Semaphore(0), threading.Event(), threading.Semaphore(0)
        find = groups.find

        def held(codes: Any, distance: int, going: Any, compared: Any) -> Any:
            self.begun.release()
            try:
                while not self.release.wait(0.01):
                    going()
                return find(codes, distance, going, compared)
            finally:
                self.ended.release()

        monkeypatch.setattr("service.collections.duplicates.find", held)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    made = Held(monkeypatch)
    yield made
    made.release.set()


def in_thread(client: httpx.Client, name: str, max_distance: int) -> tuple[threading.Thread, list[httpx.Response]]:
    replies: list[httpx.Response] = []

    def call() -> None:
        replies.append(
            httpx.post(f"{client.base_url}{PATH.format(name)}", json={"max_distance": max_distance}, timeout=60)
        )

    thread = threading.Thread(target=call)
    thread.start()
    return thread, replies


def test_what_is_written_meanwhile_does_not_show(client: httpx.Client, held: Held) -> None:
    then = {f"i{n}": bytes([n // 2] * 8) for n in range(12)}
    create(client, "changing", then)
    thread, replies = in_thread(client, "changing", 0)
    assert held.begun.acquire(timeout=10)
    # Deleted, changed, new: while it is compared. Searches are answered meanwhile.
    client.post("/v1/collections/changing/delete", json={"ids": ["i0", "i3"]}).raise_for_status()
    now = {item: code for item, code in then.items() if item not in ("i0", "i3")} | {
        "i5": b"\xaa" * 8,
        "j": b"\xaa" * 8,
    }
    index(client, "changing", {item: now[item] for item in ("i5", "j")})
    found = client.post("/v1/collections/changing/search", json={"query": {"id": "j"}, "limit": 1}).json()["results"]
    assert [(match["id"], match["distance"]) for match in found] == [("i5", 0)]
    held.release.set()
    thread.join()
    assert [json.loads(line) for line in replies[0].text.splitlines()] == expected(then, 0)
    assert ask(client, "changing", 0) == expected(now, 0)


def test_a_third_one_is_too_many_until_one_is_done(client: httpx.Client, codes: dict[str, bytes], held: Held) -> None:
    running = [in_thread(client, "moving", 2) for _ in range(2)]
    for _ in running:
        assert held.begun.acquire(timeout=10)
    refused = client.post(PATH.format("moving"), json={"max_distance": 2})
    assert (refused.status_code, refused.json()["title"]) == (429, "Too many requests")
    assert "at most 2 such runs" in refused.json()["detail"] and refused.headers["retry-after"]
    held.release.set()
    for thread, replies in running:
        thread.join()
        assert replies[0].status_code == 200
    assert ask(client, "moving", 2) == expected(codes, 2)


def test_the_work_stops_when_the_client_goes_away(client: httpx.Client, codes: dict[str, bytes], held: Held) -> None:
    for _ in range(3):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{client.base_url}{PATH.format('moving')}", json={"max_distance": 2}, timeout=0.3)
        assert held.begun.acquire(timeout=10)
        # It was never let go on: it ended as nobody waits.
        assert held.ended.acquire(timeout=10)
    held.release.set()
    assert ask(client, "moving", 2) == expected(codes, 2)


def test_a_long_reply_left_in_the_middle_frees_its_place(client: httpx.Client) -> None:
    # One group of 60,000: megabytes, far more than is on its way at once.
    create(client, "alike", {f"item-{n:05}": b"\x0f" * 8 for n in range(60_000)})
    for _ in range(3):
        with client.stream("POST", PATH.format("alike"), json={"max_distance": 1}) as reply:
            start = next(reply.iter_bytes(1000))
            assert start.startswith(b'{"group":1,"items":[{"id":"item-00000","of":null,"distance":0},')
    deadline = time.monotonic() + 10
    while (reply := client.post(PATH.format("alike"), json={"max_distance": 1})).status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (group,) = [json.loads(line) for line in reply.text.splitlines()]
    assert group["items"][1:] == [{"id": f"item-{n:05}", "of": "item-00000", "distance": 0} for n in range(1, 60_000)]


def test_who_falls_asleep_is_cut_off(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http.replies.streamed.ASLEEP_SECONDS", 0.3)
    index(client, "alike", {f"item-{n:05}-{'x' * 200}": b"\x0f" * 8 for n in range(30_000)})
    whole = client.post(PATH.format("alike"), json={"max_distance": 0})
    assert whole.status_code == 200
    with (
        client.stream("POST", PATH.format("alike"), json={"max_distance": 0}) as first,
        client.stream("POST", PATH.format("alike"), json={"max_distance": 0}) as second,
    ):
        deadline = time.monotonic() + 20
        while (third := client.post(PATH.format("alike"), json={"max_distance": 0})).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert third.content == whole.content
        for cut in (first, second):
            # Not a whole one that is short: the last chunk is missing.
            with pytest.raises(httpx.RemoteProtocolError):
                cut.read()


def test_an_error_while_comparing_is_a_problem_detail(
    client: httpx.Client, codes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MOST_COST", 1e3)
    for _ in range(3):
        reply = client.post(PATH.format("moving"), json={"max_distance": 20})
        assert reply.status_code == 422
        assert "comparisons of codes at most, got 20" in reply.json()["detail"]

"""Each limit, set low: what keeps to it passes, what is one above is refused, and says by how much."""

import base64
import io
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from PIL import Image

from service.collections.collections import Collections
from service.errors import TooManyCollectionsError
from service.settings import Settings
from service.store.schema import CollectionSettings, IndexSettings
from service.store.writer import Writer
from service.threads.pool import Pool
from tests.service.http.problems import problem_of
from tests.serving import running


@pytest.fixture(scope="module")
def settings(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("limits")
    return Settings(hashers=hashers, data=folder, max_characters=20, max_pixels=64, max_collections=3, max_matches=8)


@pytest.fixture(scope="module", autouse=True)
def own(client: httpx.Client) -> None:
    assert client.put("/v1/collections/own", json={"bits": 8}).status_code == 201


def _image(width: int, height: int, form: str) -> str:
    made = io.BytesIO()
    Image.new("1", (width, height)).save(made, form)
    return base64.b64encode(made.getvalue()).decode()


def test_a_text_of_too_many_characters(client: httpx.Client) -> None:
    for text, status in (("sort a list".ljust(20), 200), ("sort a list".ljust(21), 413), ("é" * 21, 413)):
        reply = client.post("/v1/encode", json={"hasher": "pydocs", "inputs": [{"text": text}]})
        assert reply.status_code == status, reply.text
    problem_of(reply, 413, "expected a text of at most 20 characters, got 21")


@pytest.mark.parametrize("form", ["PNG", "GIF", "TIFF"])
def test_an_image_of_too_many_pixels_whatever_its_bytes(client: httpx.Client, form: str) -> None:
    for side, status in ((8, 200), (9, 413), (3000, 413)):
        reply = client.post("/v1/encode", json={"hasher": "digits", "inputs": [{"image": _image(side, side, form)}]})
        assert reply.status_code == status, reply.text
    problem_of(reply, 413, "expected an image of at most 64 pixels, got 3000 x 3000")


def test_one_collection_too_many_and_again_when_one_is_gone(client: httpx.Client) -> None:
    for name in ("second", "third"):
        assert client.put(f"/v1/collections/{name}", json={"bits": 8}).status_code == 201
    reply = client.put("/v1/collections/fourth", json={"bits": 8})
    assert problem_of(reply, 409, "expected at most 3 collections")["title"] == "Too many collections"
    # What is there may be asked for again, and what contradicts it is another error.
    assert client.put("/v1/collections/third", json={"bits": 8}).status_code == 200
    assert problem_of(client.put("/v1/collections/third", json={"bits": 16}), 409)["title"] == "Conflict"
    assert client.delete("/v1/collections/third").status_code == 204
    assert client.put("/v1/collections/fourth", json={"bits": 8}).status_code == 201
    assert client.delete("/v1/collections/second").status_code == 204
    assert client.delete("/v1/collections/fourth").status_code == 204


def test_the_store_counts_collections_in_the_transaction_that_makes_one(tmp_path: Path) -> None:
    """Between the look of one process and its write, another one may have made the last."""
    settings = CollectionSettings(8, None, IndexSettings(), "none")
    with closing(Writer(tmp_path / "store")) as writer:
        assert writer.create_collection("a", settings, 1) is not None
        assert writer.create_collection("a", settings, 1) is None
        with pytest.raises(TooManyCollectionsError, match="at most 1"):
            writer.create_collection("b", settings, 1)


def test_a_full_queue_is_a_429_that_says_when_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(hashers=tmp_path / "none", data=tmp_path / "data", threads=1, queue=1)
    go = threading.Event()
    with running(settings) as client:
        assert client.put("/v1/collections/own", json={"bits": 8}).status_code == 201
        describe = Collections.all

        def slow(collections: Collections) -> object:
            go.wait(30)
            return describe(collections)

        entered = Pool.take_place
        taken = threading.Semaphore(0)

        def take_place(pool: Pool) -> None:
            entered(pool)
            taken.release()

        monkeypatch.setattr(Collections, "all", slow)
        monkeypatch.setattr(Pool, "take_place", take_place)
        answers: list[int] = []

        def ask() -> None:
            answers.append(httpx.get(client.base_url.join("/v1/collections"), timeout=60).status_code)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        # One is under way, one waits.
        assert taken.acquire(timeout=20) and taken.acquire(timeout=20)
        for method, path, body in (
            ("GET", "/v1/collections", None),
            ("POST", "/v1/collections/own/search", {"query": {"code": "00"}}),
        ):
            reply = client.request(method, path, json=body)
            problem_of(reply, 429, "at most 1 requests to wait")
            assert int(reply.headers["retry-after"]) >= 1
        # What tells of it is not kept waiting by it, and writes have threads of their own.
        monkeypatch.setattr(Collections, "all", describe)
        assert 'hammingway_waiting_requests{pid="' in client.get("/metrics").text
        waiting = [line for line in client.get("/metrics").text.splitlines() if 'pool="searches"' in line]
        assert [line.split()[-1] for line in waiting] == ["1.0"]
        assert client.put("/v1/collections/more", json={"bits": 8}).status_code == 201
        go.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]


def test_a_service_that_is_not_ready_says_when_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr("service.opening.Opened.load", lambda parts: go.wait(30))
    with running(Settings(hashers=tmp_path / "none", data=tmp_path / "data"), readiness=503) as client:
        for path in ("/readyz", "/v1/collections"):
            reply = client.get(path)
            problem_of(reply, 503, "caught up")
            assert int(reply.headers["retry-after"]) >= 1
        # Those who look after it are told nevertheless.
        assert "hammingway_ready{" in client.get("/metrics").text
        assert client.get("/version").status_code == client.get("/livez").status_code == 200
        go.set()


def test_more_matches_than_one_reply_may_hold(client: httpx.Client) -> None:
    items = [{"id": f"many-{number:02}", "code": "00"} for number in range(12)]
    assert client.post("/v1/collections/own/index", json={"items": items}).is_success
    path, queries = "/v1/collections/own/search", [{"code": "00"}] * 3
    found = client.post(path, json={"queries": queries, "limit": 2}).json()["results"]
    assert [len(each) for each in found] == [2, 2, 2]
    # Left to the service, it is as many as are allowed.
    for asked in ({"max_distance": 8}, {}):
        found = client.post(path, json={"queries": queries[:2]} | asked).json()["results"]
        assert [[match["id"] for match in each] for each in found] == [[f"many-{number:02}" for number in range(4)]] * 2
    problem_of(client.post(path, json={"queries": queries, "limit": 3}), 422, "limit: expected at most 2", "got 3")
    assert client.post("/v1/collections/own/delete", json={"ids": [item["id"] for item in items]}).is_success

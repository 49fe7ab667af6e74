"""Names that would be paths, over every parameter of every route: refused or not found, and no file is touched."""

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import orjson
import pytest

from service.app import create_app
from service.settings import Settings
from service.store.errors import UnknownCollectionError
from service.store.snapshots import take

HOSTILE = {
    "upwards": "../../secret",
    "upwards, every character encoded": "..%2f..%2fsecret",
    "dots encoded": "%2e%2e",
    "dots encoded twice": "%252e%252e%252fsecret",
    "dots": "..",
    "dot": ".",
    "backslashes": "..%5c..%5csecret",
    "NUL": "own%00.sqlite",
    "NUL alone": "%00",
    "absolute": "%2fetc%2fpasswd",
    "absolute, plain": "/etc/passwd",
    "very long": "a" * 5000,
    "longer than a file name": "a" * 300,
    "line break": "own%0d%0aX-Evil:%20yes",
    "not UTF-8": "%ff%fe",
    "overlong dot": "%c0%ae%c0%ae",
    "pattern": "*",
    "pattern of one": "%3f",
    "version of a path": "..%2fsecret@1",
    "tilde": "~root",
    "home": "%24HOME",
}
PATHS = [
    (method.upper(), path)
    for path, operations in create_app(Settings()).openapi()["paths"].items()
    if "{" in path
    for method in operations
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with secrets beside and above the service's own folders."""
    place = tmp_path_factory.mktemp("place")
    for folder in (place, place / "service"):
        folder.mkdir(exist_ok=True)
        (folder / "secret").write_text("kept")
        (folder / "secret@1").mkdir()
        (folder / "secret@1" / "card.json").write_text("{}")
    return place


@pytest.fixture(scope="module")
def settings(place: Path) -> Settings:
    (place / "service" / "hashers").mkdir()
    return Settings(hashers=place / "service" / "hashers", data=place / "service" / "data")


@pytest.fixture(scope="module", autouse=True)
def own(client: httpx.Client) -> None:
    assert client.put("/v1/collections/own", json={"bits": 8}).status_code == 201
    assert client.post("/v1/collections/own/index", json={"items": [{"id": "a", "code": "00"}]}).is_success


@pytest.fixture
def untouched(place: Path, client: httpx.Client) -> Iterator[None]:
    """All files but those that SQLite keeps beside the database, and all collections, the same as before."""
    before, there = _files(place), client.get("/v1/collections").json()
    yield
    assert _files(place) == before
    assert client.get("/v1/collections").json() == there


def _files(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and not path.name.startswith("hammingway.sqlite")
    }


def _send(client: httpx.Client, method: str, target: str) -> tuple[int, str, bytes]:
    """As it is written: a client library would tidy the path up first."""
    where = urlsplit(str(client.base_url))
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
    body = orjson.dumps({"bits": 8, "index": {"kind": "flat"}, "ids": ["a"], "query": {"code": "00"}})
    if method == "PUT":
        body = b'{"bits": 8}'
    connection.request(method, target, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    told = reply.status, reply.headers.get("content-type", ""), reply.read()
    connection.close()
    return told


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("untouched")
def test_a_hostile_name_in_any_place_of_any_path(client: httpx.Client, name: str) -> None:
    for method, path in PATHS:
        parameters = re.findall(r"{[^}]+}", path)
        for hostile in parameters:
            target = path
            for parameter in parameters:
                target = target.replace(parameter, HOSTILE[name] if parameter == hostile else "own")
            status, media_type, content = _send(client, method, target)
            # Nothing is to be had by such a name; and only SQL, which is not harmed by it, may look for it.
            assert 400 <= status < 500, (method, target[:100], status, content[:300])
            assert media_type == "application/problem+json", (method, target[:100])
            assert b"kept" not in content and b"root:" not in content
            assert len(content) < 2000


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_among_the_files_of_the_page(client: httpx.Client, name: str) -> None:
    status, _, content = _send(client, "GET", f"/static-offline-docs/{HOSTILE[name]}")
    assert 400 <= status < 500, (status, content[:300])


@pytest.mark.usefixtures("untouched")
def test_hostile_names_in_bodies_reach_no_file(client: httpx.Client) -> None:
    for name in ("../secret", "../secret@1", "/etc/passwd", "own\0", "..", "a" * 5000, "*", "secret@1/../secret@1"):
        for reply in (
            client.post("/v1/encode", json={"hasher": name, "inputs": []}),
            client.put("/v1/collections/new", json={"hasher": name}),
        ):
            assert reply.status_code == 404, reply.text
            assert "kept" not in reply.text


def test_a_snapshot_takes_no_name_into_a_path_unseen(settings: Settings, place: Path) -> None:
    before = _files(place)
    for name in ("../secret", "/etc/passwd", "own\0", "a" * 300, "", "*"):
        with pytest.raises(UnknownCollectionError, match="expected the name of a collection"):
            take(settings.database, name, settings.snapshots)
    assert _files(place) == before


def test_an_id_may_be_anything_printable_and_is_found_by_it(client: httpx.Client) -> None:
    for item_id in ("../../etc/passwd", "a/b", "%2e%2e", "?x=1#y", "ö"):
        item = {"items": [{"id": item_id, "code": "01"}]}
        assert client.post("/v1/collections/own/index", json=item).json() == {"indexed": 1}
        status, _, content = _send(client, "GET", f"/v1/collections/own/items/{quote(item_id, safe='')}")
        assert (status, orjson.loads(content)["id"]) == (200, item_id)
        assert client.post("/v1/collections/own/delete", json={"ids": [item_id]}).json() == {"deleted": 1}

"""What a service tells to whoever reaches it: without a key, and by a name that is not its own."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.keys import Role, line, new_key
from service.settings import Settings
from service.store.errors import DamagedStoreError
from tests.serving import running

KEY = new_key()
LET_IN = {"Authorization": f"Bearer {KEY}"}
OPERATIONS = [
    (method.upper(), path, "security" in operation)
    for path, operations in create_app(Settings()).openapi()["paths"].items()
    for method, operation in operations.items()
]
PUBLIC = ("/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css")
FOREIGN = {"Host": "elsewhere.example"}
SECRET = "collection 'secret-name' in /srv/secret-path/hammingway.sqlite"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with a key."""
    folder = tmp_path_factory.mktemp("locked")
    settings = Settings(hashers=folder / "none", data=folder / "data", keys=line(Role.READ, KEY))
    with running(settings) as client:
        yield client


@pytest.mark.parametrize(("method", "path", "guarded"), OPERATIONS)
@pytest.mark.parametrize("query", ["nope=1", "limit=nope", "with=nope&state=nope", "%ff=%ff", "=", "cursor=x&nope"])
def test_the_key_is_looked_at_before_anything_else(
    locked: httpx.Client, method: str, path: str, guarded: bool, query: str
) -> None:
    target = f"{path.replace('{', '').replace('}', '')}?{query}"
    for headers in ({}, {"Authorization": "Bearer nope"}, {"Content-Type": "nope", "Content-Encoding": "nope"}):
        reply = locked.request(method, target, headers=headers, content=b"{")
        if guarded:
            assert reply.status_code == 401, reply.text
            assert set(reply.json()) == {"type", "title", "status", "detail", "errors", "request_id"}
            assert "API key" in reply.json()["detail"] and reply.json()["errors"] == []
    reply = locked.request(method, target, headers=LET_IN, content=b"{")
    assert reply.status_code in (403, 422) or not guarded or query.startswith(("limit", "with", "cursor"))


def _unready(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    def load(parts: object) -> None:
        raise DamagedStoreError(f"expected the checksum of {SECRET}, got another one")

    monkeypatch.setattr("service.opening.Opened.load", load)
    return Settings(hashers=folder / "none", data=folder / "data", keys=more.get("keys"))


def test_what_is_damaged_is_told_with_a_key_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with running(_unready(tmp_path, monkeypatch, keys=line(Role.READ, KEY)), readiness=500) as client:
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            for headers in ({}, {"Authorization": "Bearer nope"}, FOREIGN):
                for method in ("GET", "HEAD"):
                    reply = client.request(method, "/readyz", headers=headers)
                    assert reply.status_code == 500 and "secret" not in reply.text
                    assert "secret" not in str(reply.headers)
                assert client.get("/readyz", headers=headers).json()["title"] == "Damaged store"
        assert SECRET in caplog.text
        assert SECRET in client.get("/readyz", headers=LET_IN).json()["detail"]
        for path in PUBLIC:
            assert "secret" not in client.get(path).text
        assert client.get("/livez").json() == {"status": "live"}


def test_without_keys_it_is_told_to_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(_unready(tmp_path, monkeypatch), readiness=500) as client:
        assert SECRET in client.get("/readyz").json()["detail"]
        reply = client.get("/readyz", headers=FOREIGN)
        assert (reply.status_code, reply.json()["title"]) == (500, "Damaged store")
        assert "secret" not in reply.text


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service without keys."""
    folder = tmp_path_factory.mktemp("open")
    with running(Settings(hashers=folder / "none", data=folder / "data")) as client:
        yield client


def test_by_another_name_nothing_but_probes_is_answered(open_service: httpx.Client) -> None:
    paths = [(method, path.replace("{", "").replace("}", "")) for method, path, _ in OPERATIONS]
    others = [("GET", path) for path in (*PUBLIC, "/", "/nope", "/static-offline-docs/nope", "/docs/", "/v1/%ff")]
    for method, path in [*paths, *others]:
        for tried in (method, "HEAD", "OPTIONS"):
            reply = open_service.request(tried, path, headers=FOREIGN)
            if path in ("/livez", "/readyz"):
                assert reply.status_code == (405 if tried == "OPTIONS" else 200)
            else:
                assert reply.status_code == 403, (tried, path)
    problem = open_service.get("/docs", headers=FOREIGN).json()
    assert problem["errors"][0]["where"] == "Host"
    # By its own name, and with keys or `--allow-open` by any.
    for path in PUBLIC:
        assert open_service.get(path).status_code == 200


def test_with_keys_the_page_is_there_by_any_name(locked: httpx.Client) -> None:
    for path in PUBLIC:
        assert locked.get(path, headers=FOREIGN).status_code == 200

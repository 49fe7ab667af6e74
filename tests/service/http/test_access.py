"""Every route of the application by every kind of key: who is let in, who is told what, and nothing in between."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.keys import ROLES, Role, line, new_key
from service.settings import Settings
from tests.serving import running

KEYS = {role: new_key() for role in Role}
SETTING = ",".join(line(role, key) for role, key in KEYS.items())
DOCUMENT = create_app(Settings()).openapi()
OPERATIONS = [
    (method.upper(), path, operation) for path, each in DOCUMENT["paths"].items() for method, operation in each.items()
]
# Whoever calls may see these; of all others the document names the role.
OPEN = {("GET", "/livez"), ("GET", "/readyz")}
FIXED = {
    ("POST", "/v1/collections/{collection}/search"): "read",
    ("GET", "/v1/collections/{collection}/items/{item_id}"): "read",
    ("POST", "/v1/encode"): "read",
    ("GET", "/v1/models"): "read",
    ("GET", "/metrics"): "read",
    ("GET", "/version"): "read",
    ("POST", "/v1/collections/{collection}/index"): "write",
    ("DELETE", "/v1/collections/{collection}/items/{item_id}"): "write",
    ("POST", "/v1/collections/{collection}/delete"): "write",
    ("PUT", "/v1/collections/{collection}"): "admin",
    ("PATCH", "/v1/collections/{collection}"): "admin",
    ("DELETE", "/v1/collections/{collection}"): "admin",
    ("POST", "/v1/collections/{collection}/snapshots"): "admin",
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with a key of each role, and an empty collection."""
    folder = tmp_path_factory.mktemp("locked")
    with running(Settings(hashers=folder / "none", data=folder / "data", keys=SETTING)) as client:
        made = client.put("/v1/collections/own", json={"bits": 8}, headers=_bearer(KEYS[Role.ADMIN]))
        assert made.status_code == 201
        yield client


def _bearer(key: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {key}"}


def _role(operation: dict[str, Any]) -> str:
    """The one role that the document says is needed."""
    scopes = [scopes for each in operation["security"] for scopes in each.values()]
    assert len(scopes) == 1
    (role,) = scopes[0]
    return str(role)


def test_every_route_says_its_role_and_no_other_is_open() -> None:
    said = {(method, path): _role(each) for method, path, each in OPERATIONS if "security" in each}
    assert {(method, path) for method, path, _ in OPERATIONS} - said.keys() == OPEN
    assert set(said.values()) == set(ROLES)
    assert FIXED.items() <= said.items()
    for (method, path), role in said.items():
        # What changes something is never for reading keys, unless it is a question with a body.
        question = re.search(r"/(search|encode|decode|compare|duplicates)\b", path)
        assert method == "GET" or question or role != "read", (method, path)
    scheme = DOCUMENT["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_the_document_says_whether_a_key_has_to_be_given() -> None:
    for setting in (None, SETTING):
        document = create_app(Settings(keys=setting)).openapi()
        for each in document["paths"].values():
            for operation in each.values():
                if "security" in operation:
                    assert ({} in operation["security"]) is (setting is None)


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[f"{method} {path}" for method, path, _ in OPERATIONS]
)
def test_a_route_takes_its_role_and_those_that_include_it(
    locked: httpx.Client, method: str, path: str, operation: dict[str, Any]
) -> None:
    # A collection that is not there: who is let in is answered 404 or about the body, and nothing is changed.
    target = path.replace("{collection}", "nope").replace("{", "").replace("}", "")
    assert not re.search(r"[{}]", target)
    needed = ROLES[_role(operation)] if "security" in operation else None
    for headers, came in (
        ({}, "got none"),
        (_bearer(new_key()), "got another one"),
        (_bearer(line(Role.ADMIN, KEYS[Role.ADMIN])), "got another one"),
        (_bearer(KEYS[Role.ADMIN][:-1]), "got another one"),
        ({"Authorization": "Bearer"}, "got another one"),
        (_bearer(KEYS[Role.ADMIN], "Basic"), "got another scheme"),
        ({"Authorization": KEYS[Role.ADMIN]}, "got another scheme"),
    ):
        reply = locked.request(method, target, headers=headers)
        if needed is None:
            assert reply.status_code == 200
            continue
        assert reply.status_code == 401, (headers, reply.text)
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert ("invalid_token" in reply.headers["www-authenticate"]) is (came == "got another one")
        assert came in reply.json()["detail"]
    for role, key in KEYS.items():
        reply = locked.request(method, target, headers=_bearer(key))
        if needed is None or role >= needed:
            assert reply.status_code not in (401, 403, 500), reply.text
        else:
            assert reply.status_code == 403, reply.text
            assert reply.json()["detail"] == f"expected a key with the role {needed}, got one with the role {role}"
            assert f'scope="{needed}"' in reply.headers["www-authenticate"]


def test_who_may_not_write_changes_nothing_and_a_body_is_not_read_first(locked: httpx.Client) -> None:
    item = {"items": [{"id": "a", "code": "00"}]}
    path = "/v1/collections/own"
    for headers in ({}, _bearer(KEYS[Role.READ])):
        assert locked.post(f"{path}/index", json=item, headers=headers).status_code in (401, 403)
        assert locked.request("DELETE", path, headers=headers).status_code in (401, 403)
    # Not JSON: it would be a 400 to who may write.
    assert locked.post(f"{path}/index", content=b"{").status_code == 401
    reading = _bearer(KEYS[Role.READ])
    assert locked.get(path, headers=reading).json()["count"] == 0
    assert locked.post(f"{path}/index", json=item, headers=_bearer(KEYS[Role.WRITE])).json() == {"indexed": 1}
    found = locked.post(f"{path}/search", json={"query": {"code": "01"}}, headers=reading).json()["results"]
    assert [(match["id"], match["distance"]) for match in found] == [("a", 1)]


def test_the_scheme_is_taken_in_any_case_and_paths_that_are_not_there_need_no_key(locked: httpx.Client) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert locked.get("/v1/collections", headers=_bearer(KEYS[Role.READ], scheme)).status_code == 200
    assert locked.get("/nope").status_code == 404
    assert locked.get("/docs").status_code == locked.get("/openapi.json").status_code == 200

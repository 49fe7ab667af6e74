"""What a browser asks for a web page of somebody else of a service without keys, and by whatever name."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.keys import Role, line, new_key
from service.settings import Settings
from tests.service.http.openapi import operations
from tests.serving import running

CROSS = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
DELETE = "/v1/collections/own/delete"
ITEM = {"ids": ["a"]}


@pytest.fixture(scope="module", autouse=True)
def own(client: httpx.Client) -> None:
    client.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
    client.post("/v1/collections/own/index", json={"items": [{"id": "a", "code": "0f"}]}).raise_for_status()


@pytest.mark.parametrize(
    "headers",
    [
        CROSS,
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_somebody_else_changes_nothing_without_keys(client: httpx.Client, headers: dict[str, str]) -> None:
    # As a page may send it without asking before: no preflight.
    plain = {"Content-Type": "text/plain", **headers}
    reply = client.post(DELETE, content=b'{"ids": ["a"]}', headers=plain)
    assert reply.status_code == 403, reply.text
    problem = reply.json()
    assert problem["title"] == "Forbidden" and problem["errors"][0]["where"] == "Origin"
    assert problem["detail"].startswith("expected no web page but the service's own, as there are no keys, got ")
    assert "www-authenticate" not in reply.headers
    assert client.post("/v1/collections/own/snapshots", headers=headers).status_code == 403
    assert client.post("/v1/collections/own/search", json={"query": {"code": "00"}}, headers=headers).status_code == 403
    assert client.get("/v1/collections/own/items/a").status_code == 200


def test_the_services_own_page_and_all_that_is_no_page_may(client: httpx.Client) -> None:
    address = client.base_url.netloc.decode()
    for headers in (
        {"Origin": f"http://{address}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": f"http://{address}"},
        {},
    ):
        body = {"items": [{"id": "b", "code": "0f"}]}
        assert client.post("/v1/collections/own/index", json=body, headers=headers).json() == {"indexed": 1}, headers
    # A link that somebody follows, of which the page that it was on sees nothing.
    assert client.get("/v1/collections/own", headers=CROSS).status_code == 200


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("localhost.:8000", True),
        ("api.localhost:8000", True),
        ("127.0.0.1", True),
        ("192.168.7.7:8000", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("elsewhere.example:8000", False),
        ("localhost.elsewhere.example", False),
        ("127.0.0.1.elsewhere.example:8000", False),
        ("notlocalhost", False),
        ("elsewhere.example:80:127.0.0.1", False),
    ],
)
def test_only_names_of_this_machine_are_answered_without_keys(client: httpx.Client, host: str, taken: bool) -> None:
    same = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    reads = client.get("/v1/collections", headers=same)
    searches = client.post("/v1/collections/own/search", json={"query": {"code": "00"}}, headers=same)
    assert {reads.status_code, searches.status_code} == {200 if taken else 403}
    if not taken:
        told = f"expected localhost or an address, as there are no keys, got '{host}': use keys, or --allow-open"
        assert reads.json()["errors"] == [{"where": "Host", "detail": told}]
    # What tells nothing is told to anybody.
    assert client.get("/livez", headers=same).status_code == 200


@pytest.fixture(scope="module", params=["keys", "open"])
def let_in(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("let-in")
    key = new_key()
    given = {"keys": line(Role.ADMIN, key)} if request.param == "keys" else {"allow_open": True}
    with running(Settings(hashers=folder, data=folder / "data", **given)) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def test_with_keys_or_open_any_name_is_answered(let_in: httpx.Client) -> None:
    for headers in ({"Host": "hashes.example"}, {"Host": "hashes.example", "Sec-Fetch-Site": "same-origin"}):
        assert let_in.put("/v1/collections/own", json={"bits": 8}, headers=headers).is_success


def test_a_key_is_a_pages_own_business_and_without_one_it_has_none(
    let_in: httpx.Client, request: pytest.FixtureRequest
) -> None:
    reply = let_in.put("/v1/collections/other", json={"bits": 8}, headers=CROSS)
    # No browser adds a key by itself: a page that sends one was given it.
    assert reply.status_code == (201 if "keys" in request.node.name else 403)


def test_the_document_says_so_where_there_are_no_keys() -> None:
    for operation in operations(create_app(Settings()).openapi()):
        told = [each["errors"][0]["where"] for each in operation.refusals().get(403, [])]
        asks = "security" in operation.described
        assert told == [*(["Host"] if asks else []), *(["Origin"] if asks and operation.method != "get" else [])]
        if asks:
            assert "WWW-Authenticate" not in operation.described["responses"]["403"]["headers"]

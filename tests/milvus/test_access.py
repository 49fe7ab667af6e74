"""A Milvus that asks who comes, and talks TLS: token, database and certificate, right and wrong."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient

from service.settings import Settings
from tests.milvus.server import MilvusServer
from tests.milvus.stores import done, index, put, search
from tests.serving import running

ROOT_TOKEN = "root:Milvus"
DATABASE = "elsewhere"
ITEMS = [{"id": "a", "code": "00000000"}, {"id": "b", "code": "000000ff"}]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of its own (`ca.pem`), another one (`other.pem`), and the server's pair for `localhost`."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        _openssl(
            folder, f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        )
    _openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    _openssl(folder, "x509 -req -in server.csr -days 2 -CA ca.pem -CAkey ca.key -extfile names -out server.pem")
    return folder


@pytest.fixture(scope="module")
def guarded(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`localhost:PORT` of a server with TLS that lets nobody in without a password, with a database of its own."""
    settings: dict[str, dict[str, Any]] = {
        "proxy": {"timeTickInterval": 20},
        "common": {
            "storageType": "local",
            "session": {"ttl": 5},
            "security": {"authorizationEnabled": True, "tlsMode": 1},
        },
        "tls": {
            "serverPemPath": str(certificates / "server.pem"),
            "serverKeyPath": str(certificates / "server.key"),
            "caPemPath": str(certificates / "ca.pem"),
        },
    }
    with MilvusServer(tmp_path_factory.mktemp("guarded"), settings) as server:
        address = server.uri.replace("http://127.0.0.1", "localhost")
        client = _client(address, certificates)
        client.create_database(DATABASE)
        client.close()
        yield address


def test_with_token_certificate_and_database_it_is_as_any_other(
    guarded: str, certificates: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "hashers": tmp_path / "hashers",
        "store": f"milvus+tls://{guarded}",
        "store_token": ROOT_TOKEN,
        "store_database": DATABASE,
        "store_certificate": certificates / "ca.pem",
    }
    with running(Settings(**given)) as client:
        put(client, "things")
        index(client, "things", ITEMS)
        assert search(client, "things", "00000000") == [("a", 0), ("b", 8)]
    with running(Settings(**given | {"store_database": None})) as client:
        assert done(client.get("/v1/collections"))["collections"] == []
    for database, there in (("", 0), (DATABASE, 1)):
        direct = _client(guarded, certificates, database)
        assert len(direct.list_collections()) == there
        assert not there or direct.describe_collection("hammingway_things")["aliases"] == ["hammingway_things"]
        direct.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"store_token": "root:guessed"},
        {"store_token": None},
        {"store_database": "nowhere"},
        {"store_certificate": "other.pem"},
        {"store_certificate": None},
        {"store": "milvus://", "store_certificate": None},
    ],
)
def test_who_is_not_let_in_says_so_and_tells_no_secret(
    guarded: str, certificates: Path, tmp_path: Path, wrong: dict[str, str | None]
) -> None:
    given: dict[str, Any] = {"store": "milvus+tls://", "store_token": ROOT_TOKEN, "store_certificate": "ca.pem"} | wrong
    if given["store_certificate"] is not None:
        given["store_certificate"] = certificates / given["store_certificate"]
    given |= {"store": f"{given['store']}{guarded}", "hashers": tmp_path / "hashers", "store_seconds": 3.0}
    with running(Settings(**given), 503) as client:
        assert client.get("/livez").status_code == 200
        for reply in (client.get("/readyz"), client.get("/v1/collections")):
            problem = done(reply, 503)
            assert problem["detail"].startswith("expected ")
            assert "guessed" not in reply.text and "Milvus:" not in reply.text and ROOT_TOKEN not in reply.text


def _client(address: str, certificates: Path, database: str = "") -> MilvusClient:
    authority = str(certificates / "ca.pem")
    return MilvusClient(f"https://{address}", token=ROOT_TOKEN, db_name=database, server_pem_path=authority)


def _openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)

"""A collection moved from SQLite to Milvus, through a Milvus that is killed meanwhile, and back."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from scripts.migrate.__main__ import move
from scripts.migrate.moving import Side, copy, verify
from service.client import Client, Retries, ServiceError
from tests.conftest import DIMENSION
from tests.milvus.server import MilvusServer
from tests.milvus.stores import serving
from tests.scripts.migrating import checksum, fill, made, nothing
from tests.serving import wait_until_ready

ITEMS = 2500


@pytest.fixture
def own(tmp_path: Path) -> Iterator[MilvusServer]:
    """A server for this test alone, as it is killed."""
    with MilvusServer(tmp_path / "milvus") as server:
        yield server


def test_to_milvus_through_a_kill_and_back(
    own: MilvusServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = made(ITEMS)
    with ExitStack() as stack:
        services = [stack.enter_context(serving(store, tmp_path / store, own)) for store in ("sqlite", "milvus")]
        here, there = (stack.enter_context(Client(str(each.base_url))) for each in services)
        impatient = stack.enter_context(Client(str(services[1].base_url), retries=Retries(attempts=1)))
        fill(here, "moved", items)
        there.create_collection("moved", bits=here.collection("moved").bits)
        source, target = Side(here, "moved", 1000), Side(there, "moved", 1000)
        with pytest.raises(ServiceError) as stopped:
            copy(source, Side(impatient, "moved", 1000), killing(own, 1500))
        assert stopped.value.status == 503 and stopped.value.indexed == 1000
        own.start()
        wait_until_ready(services[1])
        assert copy(source, target, nothing) == ITEMS - 1000
        assert verify(source, target, nothing) == (ITEMS, checksum(items))
        move(target, Side(here, "back", 700), only_verify=False)
        assert f"{ITEMS} items are the same in both, SHA-256 {checksum(items)}" in capsys.readouterr().out


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_features_and_documents_go_to_milvus_and_back(
    milvus: MilvusServer, hashers: Path, tmp_path: Path, keep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (np.random.default_rng(7).standard_normal((300, DIMENSION)) * 10.0 ** np.arange(-6, 6)).astype(np.float32)
    name = f"kept-{keep}"
    with ExitStack() as stack:
        services = [
            stack.enter_context(serving(store, tmp_path / store, milvus, hashers=hashers))
            for store in ("sqlite", "milvus")
        ]
        here, there = (stack.enter_context(Client(str(each.base_url))) for each in services)
        here.create_collection(name, hasher="vectors", keep_features=keep, keep_documents=True)
        here.index(
            name, [{"id": f"é{number}", "vector": row, "payload": {"n": number}} for number, row in enumerate(rows)]
        )
        move(Side(here, name, 70), Side(there, name, 70), only_verify=False)
        move(Side(there, name, 70), Side(here, f"{name}-back", 70), only_verify=False)
        told = re.findall("300 items are the same in both, SHA-256 (.*)", capsys.readouterr().out)
        assert len(told) == 2 and told[0] == told[1]
        whole = [
            list(client.items(each, with_=["code", "payload", "features", "document"]))
            for client, each in ((here, name), (there, name), (here, f"{name}-back"))
        ]
        assert whole[0] == whole[1] == whole[2] and len(whole[0]) == 300
        query = {"vector": rows[5]}
        found = [client.search(name, query, rank="rescored", limit=20) for client in (here, there)]
        assert found[0] == found[1] and found[0][0].id == "é5"


def killing(server: MilvusServer, place: int) -> Callable[[int], None]:
    """Kills the server when it has been told of so many items."""
    seen = 0

    def count(number: int) -> None:
        nonlocal seen
        seen += number
        if seen == place:
            server.kill()

    return count

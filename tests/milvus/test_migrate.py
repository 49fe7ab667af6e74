"""A collection moved from SQLite to Milvus, through a Milvus that is killed meanwhile, and back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.migrate.__main__ import move
from scripts.migrate.moving import Side, copy, verify
from service.client import Client, Retries, ServiceError
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


def killing(server: MilvusServer, place: int) -> Callable[[int], None]:
    """Kills the server when it has been told of so many items."""
    seen = 0

    def count(number: int) -> None:
        nonlocal seen
        seen += number
        if seen == place:
            server.kill()

    return count

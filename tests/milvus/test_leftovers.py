"""What services that were killed left in Milvus: it is deleted, and nothing else is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient, MilvusException

from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.errors import StoreUnavailableError
from service.items import Item
from service.milvus import schema
from service.milvus.address import Address
from service.milvus.connection import Connection
from service.milvus.leftovers import Leftovers
from service.milvus.marks import Marks
from service.milvus.names import Names
from service.milvus.opening import Opened, opened
from service.store.errors import UnknownCollectionError
from tests.milvus.server import MilvusServer
from tests.recoding.conftest import versions

__all__ = ["versions"]


class KilledError(Exception):
    """The service is no more."""


@pytest.fixture
def service(milvus: MilvusServer, versions: Path) -> Iterator[Opened]:
    with opened(Address(milvus.uri.replace("http://", "milvus://")), Hashers(versions)) as parts:
        yield parts


@pytest.fixture
def connection(service: Opened) -> Connection:
    return service.recodings._marks._connection


@pytest.fixture
def leftovers(connection: Connection) -> Leftovers:
    """One that has looked once."""
    # What other tests left.
    looked = Leftovers(connection, Names(connection), Marks(connection))
    looked.sweep()
    looked.sweep()
    return looked


def _cut_off(monkeypatch: pytest.MonkeyPatch, kind: type, method: str) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KilledError

    monkeypatch.setattr(kind, method, killed)


def _cut_off_at(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    plain = Connection.call

    def call(self: Connection, method: str, *arguments: Any, **named: Any) -> Any:
        if method == step:
            raise KilledError
        return plain(self, method, *arguments, **named)

    monkeypatch.setattr(Connection, "call", call)


def _made(connection: Connection) -> set[str]:
    return {each for each in connection.call("list_collections") if each.startswith((schema.ITEMS, schema.GONE))}


def _swept(leftovers: Leftovers) -> list[str]:
    """What is deleted at the second look; at the first one nothing is, as it may be under way."""
    assert leftovers.sweep() == []
    return leftovers.sweep()


def test_a_collection_that_never_got_its_name(
    service: Opened, connection: Connection, leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _made(connection)
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        _cut_off(patched, Names, "give")
        service.collections.create("nameless", NewCollection(bits=8))
    (left,) = _made(connection) - before
    assert _swept(leftovers) == [left]
    assert _made(connection) == before


def test_a_recoding_that_was_killed_before_it_was_written_down(
    service: Opened, connection: Connection, leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.collections.create("unmarked", NewCollection(hasher="vectors@1", keep_documents=True))
    service.collections.upsert("unmarked", [Item("a", "vector", [0.5] * 12)])
    before = _made(connection)
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        _cut_off(patched, Marks, "add")
        service.recodings.begin("unmarked", "vectors@2", False)
    (left,) = _made(connection) - before
    # One that is under way is not left, nor is what it codes anew.
    service.recodings.begin("unmarked", "vectors@2", False)
    assert _swept(leftovers) == [left]
    assert len(_made(connection) - before) == 1
    assert service.collections.get("unmarked").count == 1


@pytest.mark.parametrize("step", ["drop_alias", "drop_collection"])
def test_a_collection_that_was_being_deleted(
    step: str, service: Opened, connection: Connection, leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"half-deleted-{step}".replace("_", "-")
    before = _made(connection)
    service.collections.create(name, NewCollection(bits=8))
    service.collections.upsert(name, [Item("a", "code", "00")])
    with monkeypatch.context() as patched, pytest.raises(KilledError):
        _cut_off_at(patched, step)
        service.collections.delete(name)
    with pytest.raises(UnknownCollectionError):
        service.collections.get(name)
    (left,) = _made(connection) - before
    # The name is free at once.
    service.collections.create(name, NewCollection(bits=16))
    assert _swept(leftovers) == [left]
    assert (service.collections.get(name).bits, len(_made(connection) - before)) == (16, 1)


def test_what_holds_items_stays_also_without_a_name(
    service: Opened, connection: Connection, leftovers: Leftovers
) -> None:
    service.collections.create("restored", NewCollection(bits=8))
    service.collections.upsert("restored", [Item("a", "code", "00")])
    connection.call("drop_alias", schema.alias("restored"))
    made = _made(connection)
    assert _swept(leftovers) == []
    assert _made(connection) == made


def test_of_two_that_delete_one_does_and_what_was_made_anew_meanwhile_stays(
    service: Opened, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.collections.create("anew", NewCollection(bits=8))
    backend = service.collections._backend
    row = backend.collection("anew")
    assert row is not None
    plain = Names.row

    def look(self: Names, name: str) -> Any:
        found = plain(self, name)
        monkeypatch.undo()
        # Right after the other one has looked.
        assert backend.drop(row)
        service.collections.create("anew", NewCollection(bits=16))
        return found

    monkeypatch.setattr(Names, "row", look)
    assert not backend.drop(row)
    assert service.collections.get("anew").bits == 16


def test_one_that_is_deleted_while_it_is_read_is_unknown(service: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    service.collections.create("read", NewCollection(bits=8))

    def query(*_: Any, **__: Any) -> Any:
        monkeypatch.undo()
        service.collections.delete("read")
        raise MilvusException(65535, "delegator closed during wait tsafe: channel not available[channel=c]")

    monkeypatch.setattr(MilvusClient, "query", query)
    with pytest.raises(UnknownCollectionError):
        service.collections.page("read", 10, "", None)


def test_a_name_that_milvus_does_not_give_is_told(service: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Connection.call

    def call(self: Connection, method: str, *arguments: Any, **named: Any) -> Any:
        if method == "create_alias":
            raise StoreUnavailableError("no")
        return plain(self, method, *arguments, **named)

    monkeypatch.setattr(Connection, "call", call)
    with pytest.raises(StoreUnavailableError, match="no"):
        service.collections.create("not-given", NewCollection(bits=8))

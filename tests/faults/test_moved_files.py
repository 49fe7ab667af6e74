"""Files that are deleted, moved or replaced under a running service: what would be lost is refused."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from service.store.errors import StorageError
from service.store.reader import Reader
from service.store.schema import CollectionSettings, StoredItem
from service.store.writer import Writer
from tests.faults.conftest import Start
from tests.faults.truth import DATABASE

PATH = "/v1/collections/c"
ITEM = {"items": [{"id": "b", "code": "0003"}]}


def _deleted(data: Path) -> None:
    shutil.rmtree(data)


def _moved(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))


def _replaced(data: Path) -> None:
    """By a copy, as of a backup that is put back."""
    shutil.copytree(data, data.with_name("backup"))
    shutil.rmtree(data)
    data.with_name("backup").rename(data)


def _without(suffix: str) -> Callable[[Path], None]:
    return lambda data: (data / f"{DATABASE}{suffix}").unlink()


@pytest.mark.parametrize(
    "happens",
    [_deleted, _moved, _replaced, *map(_without, ("", "-wal", "-shm"))],
    ids=["deleted", "moved", "replaced", "no database", "no WAL", "no shm"],
)
def test_nothing_is_written_to_files_that_are_gone(tmp_path: Path, happens: Callable[[Path], None]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with closing(Writer(data / DATABASE)) as writer, closing(Reader(data / DATABASE)) as reader:
        row = writer.create_collection("c", CollectionSettings(16))
        assert row is not None
        writer.upsert(row.number, [StoredItem("a", b"\0\1")])
        happens(data)
        for write in (
            lambda: writer.upsert(row.number, [StoredItem("b", b"\0\3")]),
            lambda: writer.delete(row.number, ["a"]),
            lambda: writer.delete_collection(row.number),
            lambda: writer.create_collection("d", CollectionSettings(16)),
        ):
            with pytest.raises(StorageError, match=r"as it was opened, it was deleted, moved or replaced since"):
                write()
        assert reader.item(row.number, "a") == StoredItem("a", b"\0\1")
        assert reader.item(row.number, "b") is None


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_says_so_searches_on_and_goes_on_once_they_are_back(
    start: Start, tmp_path: Path, workers: str
) -> None:
    serving = start(tmp_path / "data", "--workers", workers)
    client = serving.client
    client.put(PATH, json={"bits": 16}).raise_for_status()
    client.post(f"{PATH}/index", json={"items": [{"id": "a", "code": "0001"}]}).raise_for_status()
    _moved(tmp_path / "data")
    for ask in (
        lambda: client.post(f"{PATH}/index", json=ITEM),
        lambda: client.post(f"{PATH}/delete", json={"ids": ["a"]}),
        lambda: client.get("/readyz"),
    ):
        reply = ask()
        assert (reply.status_code, reply.json()["title"]) == (500, "Storage failure")
        assert f"{DATABASE} as it was opened" in reply.json()["detail"]
    body = {"query": {"code": "0000"}}
    assert [match["id"] for match in client.post(f"{PATH}/search", json=body).json()["results"]] == ["a"]
    assert client.get("/livez").status_code == 200
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.post(f"{PATH}/index", json=ITEM).json() == {"indexed": 1}
    assert [match["id"] for match in client.post(f"{PATH}/search", json=body).json()["results"]] == ["a", "b"]

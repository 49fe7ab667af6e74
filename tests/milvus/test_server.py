"""What starts, kills and restarts a Milvus server, against the server itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from tests.milvus.server import MilvusError, MilvusServer

BITS, ITEMS = 64, 500
CODES = np.random.default_rng(7).integers(0, 256, (ITEMS, BITS // 8), dtype=np.uint8)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[MilvusServer]:
    with MilvusServer(tmp_path / "own") as server:
        yield server


def fill(client: MilvusClient) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("code", DataType.BINARY_VECTOR, dim=BITS)
    index = client.prepare_index_params()
    index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
    client.create_collection("codes", schema=schema, index_params=index, consistency_level="Strong")
    rows = [{"id": number, "code": code.tobytes()} for number, code in enumerate(CODES)]
    assert client.insert("codes", rows)["insert_count"] == ITEMS


def check(client: MilvusClient) -> None:
    """A search finds what brute force finds, of all that were inserted; a server that was killed loads them anew."""
    client.load_collection("codes")
    query = CODES[3] ^ 1
    found = client.search("codes", [query.tobytes()], limit=ITEMS, consistency_level="Strong")[0]
    distances = np.bitwise_count(CODES ^ query).sum(axis=1)
    assert {hit["id"]: hit["distance"] for hit in found} == dict(enumerate(distances.tolist()))


def test_killed_and_started_again_on_the_same_folder_it_has_all_that_it_acknowledged(own: MilvusServer) -> None:
    address = own.uri
    with closing(MilvusClient(own.uri)) as client:
        fill(client)
        check(client)
        own.kill()
    own.start()
    assert own.uri == address
    with closing(MilvusClient(own.uri)) as client:
        check(client)


def test_a_server_that_cannot_start_is_told_at_once_with_its_log(tmp_path: Path) -> None:
    server = MilvusServer(tmp_path / "broken", {"mq": {"type": "carrier pigeon"}})
    begun = time.monotonic()
    with pytest.raises(MilvusError, match="carrier pigeon"):
        server.start()
    assert time.monotonic() - begun < 60


def test_where_no_namespace_is_allowed_it_takes_free_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.milvus.server.namespace_command", lambda: None)
    with MilvusServer(tmp_path / "free") as server, closing(MilvusClient(server.uri)) as client:
        fill(client)
        check(client)


def test_a_server_is_not_started_twice(milvus: MilvusServer) -> None:
    with pytest.raises(MilvusError, match="expected a server that is stopped"):
        milvus.start()


def test_two_servers_at_once_know_nothing_of_each_other(milvus: MilvusServer, own: MilvusServer) -> None:
    with closing(MilvusClient(own.uri)) as client, closing(MilvusClient(milvus.uri)) as other:
        fill(client)
        assert "codes" not in other.list_collections()
        check(client)


STARTS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from tests.milvus.server import MilvusServer
server = MilvusServer(Path(sys.argv[1]))
server.start()
print(server.uri, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_server_outlives_who_started_it(tmp_path: Path) -> None:
    started = subprocess.run([sys.executable, "-c", STARTS_AND_DIES, tmp_path / "left"], capture_output=True, text=True)
    assert started.returncode == -signal.SIGKILL, started.stderr
    port = int(started.stdout.rpartition(":")[2])
    deadline = time.monotonic() + 30
    while (accepts(port) or running_in(tmp_path / "left")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not accepts(port)
    assert running_in(tmp_path / "left") == []


def test_no_server_outlives_its_keeper(own: MilvusServer) -> None:
    assert own._keeper is not None and len(running_in(own.folder)) == 2
    os.kill(own._keeper.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while running_in(own.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running_in(own.folder) == []


def accepts(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def running_in(folder: Path) -> list[Path]:
    """The processes that work in a folder."""
    return [process for process in Path("/proc").glob("[0-9]*/cwd") if links_to(process, folder)]


def links_to(link: Path, folder: Path) -> bool:
    """Whether a process's working directory is this: those that end meanwhile have none."""
    try:
        return link.readlink() == folder
    except OSError:
        return False

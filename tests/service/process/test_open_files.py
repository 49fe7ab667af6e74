"""Connections that nobody asks anything on: they must not take the files that requests need."""

import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service.process import open_files
from tests.serving import Process, client_of, wait_until_ready

FILES = 200


def test_idle_connections_leave_room_for_those_that_work(tmp_path: Path) -> None:
    serving = Process(tmp_path / "none", tmp_path / "data", prefix=["prlimit", f"--nofile={FILES}:{FILES}"])
    where = httpx.URL(serving.url)
    with ExitStack() as idle:
        for _ in range(2 * FILES):
            idle.enter_context(socket.create_connection((str(where.host), where.port), timeout=20))
        # On the connection that was there before; each of them opens or imports something the first time.
        path = "/v1/collections/c"
        assert serving.client.put(path, json={"bits": 8}).status_code == 201
        items = {"items": [{"id": "a", "code": "0f"}]}
        assert serving.client.post(f"{path}/index", json=items).json() == {"indexed": 1}
        found = serving.client.post(f"{path}/search", json={"query": {"code": "0f"}}).json()["results"]
        assert [match["id"] for match in found] == ["a"]
        assert serving.client.post(f"{path}/snapshots").status_code == 201
        with socket.create_connection((str(where.host), where.port), timeout=20) as further:
            head, _, body = further.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n") and b"retry-after: 1" in head
        most = FILES - open_files.RESERVED
        assert f"expected at most {most} connections, got one more: try again".encode() in body
    with client_of(serving.url) as client:
        # Once it has seen them go.
        wait_until_ready(client)
    serving.stop()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 2**20), (2**16, 2**20)),
        ((1024, 4096), (4096, 4096)),
        ((1024, resource.RLIM_INFINITY), (2**16, resource.RLIM_INFINITY)),
        ((2**17, 2**20), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_as_many_as_may_be_had_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int] | None
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: before)
    monkeypatch.setattr(resource, "setrlimit", lambda which, given: asked.append(given))
    open_files.raise_limit()
    assert asked == ([] if after is None else [after])

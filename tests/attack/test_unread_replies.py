"""Clients that ask for large replies and do not read them: counted, cut off, and no harm to others."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.attack.watching import watched_liveness, watched_memory
from tests.serving import Process, client_of

MEBIBYTE = 2**20
PAYLOAD = MEBIBYTE
ITEMS = 8
REPLY = ITEMS * PAYLOAD
SECONDS = 3.0
UNSENT = 32 * MEBIBYTE
CLIENTS = 40
THREADS = 2
# docs/reference/settings.md: replies that wait, those that threads make (the payloads that were read, and the reply),
# and what each connection holds beside.
ALLOWED = UNSENT + 2 * THREADS * 2 * REPLY + CLIENTS * MEBIBYTE // 4 + 16 * MEBIBYTE
PATH = "/v1/collections/c"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("unread")
    options = {"--max-unsent-bytes": UNSENT, "--max-send-seconds": SECONDS, "--threads": THREADS}
    process = Process(folder / "hashers", folder / "data", *(str(each) for pair in options.items() for each in pair))
    process.client.put(PATH, json={"bits": 8}).raise_for_status()
    for number in range(ITEMS):
        item = {"id": str(number), "code": "00", "payload": {"x": "a" * PAYLOAD}}
        process.client.post(f"{PATH}/index", json={"items": [item]}).raise_for_status()
    yield process
    process.stop()


SEARCH = b'{"query":{"code":"00"},"limit":8}'
REQUESTS = {
    "a search": b"POST %b/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
    % (PATH.encode(), len(SEARCH), SEARCH),
    "a page": b"GET %b/items HTTP/1.1\r\nHost: localhost\r\n\r\n" % PATH.encode(),
}


def _connect(serving: Process, receives: int = 4096) -> socket.socket:
    port = serving.client.base_url.port
    assert port is not None
    connection = socket.socket()
    # So that the kernel holds little of what is not read.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    return connection


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("pipelined", [1, 3])
def test_who_does_not_read_holds_a_bounded_part_and_is_cut_off(serving: Process, name: str, pipelined: int) -> None:
    started = time.monotonic()
    with (
        ExitStack() as stack,
        watched_memory(serving.pid) as memory,
        watched_liveness(serving.url) as live,
    ):
        connections = [stack.enter_context(_connect(serving)) for _ in range(CLIENTS)]
        for connection in connections:
            connection.sendall(REQUESTS[name] * pipelined)
        # Others are served meanwhile, if not with so much.
        time.sleep(SECONDS / 3)
        small = {"query": {"code": "00"}, "limit": 1, "with": []}
        with client_of(serving.url, timeout=20) as other:
            assert other.post(f"{PATH}/search", json=small).status_code == 200
        _wait_until_large_ones_are_sent(serving)
    took = time.monotonic() - started
    print(
        f"{name}, {pipelined} at once: grown by {memory.grown // MEBIBYTE} MiB of {ALLOWED // MEBIBYTE}, where "
        f"{CLIENTS * REPLY // MEBIBYTE} MiB were asked for; free again after {took:.1f} s; "
        f"/livez at most {live.longest * 1000:.0f} ms"
    )
    assert memory.grown < ALLOWED
    assert not live.failures
    assert live.longest < 1.5
    assert "its connection was cut off" in serving.log.read_text()


def _wait_until_large_ones_are_sent(serving: Process) -> None:
    """Return when there is room for a large reply, which is whole; until then it is refused before it begins."""
    deadline = time.monotonic() + 10 * SECONDS
    while True:
        with client_of(serving.url, timeout=60) as client:
            reply = client.get(f"{PATH}/items")
        if reply.status_code == 200:
            assert len(reply.json()["items"]) == ITEMS
            return
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
        assert re.search(f"expected at most {UNSENT} bytes of replies at one time, got more", reply.json()["detail"])
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_who_reads_a_little_now_and_then_is_cut_off(serving: Process) -> None:
    """Its own system holds a few KiB that came before, and the service's none that would come after."""
    started = time.monotonic()
    with _connect(serving) as connection:
        connection.sendall(REQUESTS["a page"])
        with pytest.raises((ConnectionError, EOFError)):
            while time.monotonic() < started + 6 * SECONDS:
                if not connection.recv(64):
                    raise EOFError
                time.sleep(SECONDS / 50)
    assert SECONDS * 0.9 < time.monotonic() - started < 6 * SECONDS


def test_who_reads_slowly_but_enough_gets_it_all(serving: Process) -> None:
    received = bytearray()
    with _connect(serving, 65536) as connection:
        connection.sendall(REQUESTS["a page"].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        # Twice as much as a client has to take.
        pause = 65536 * SECONDS / (2 * MEBIBYTE)
        while part := connection.recv(65536):
            received += part
            time.sleep(pause * len(part) / 65536)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head.lower()
    assert body.startswith(b'{"items":')
    assert len(body) > REPLY


def test_a_reply_that_is_alone_is_sent_however_large(serving: Process) -> None:
    queries = {"queries": [{"code": "00"}] * 6, "limit": 8}
    with client_of(serving.url, timeout=60) as client:
        reply = client.post(f"{PATH}/search", json=queries)
    assert reply.status_code == 200
    assert len(reply.content) > UNSENT


def test_what_an_import_did_is_told_whatever_is_held(serving: Process) -> None:
    """A reply of more than is sent at once, while others leave no room: to be refused it would seem undone."""
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(_connect(serving)).sendall(REQUESTS["a page"])
        time.sleep(SECONDS / 3)
        lines = b'{"id":"new","code":"00"}\n' + b"{\n" * 2000
        with client_of(serving.url, timeout=60) as client:
            headers = {"Content-Type": "application/x-ndjson"}
            reply = client.post(f"{PATH}/index", content=lines, headers=headers)
    assert reply.status_code == 200
    assert (reply.json()["indexed"], len(reply.json()["rejected"])) == (1, 2000)
    assert len(reply.content) > 2**16
    assert serving.client.delete(f"{PATH}/items/new").status_code == 200

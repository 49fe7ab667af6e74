"""How much of all bodies is held at one time: what would be too much beside others comes again, and is taken then."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.errors import BusyError
from service.http.layers.held import Charge, HeldBytes
from service.settings import Settings
from tests.service.http.problems import problem_of
from tests.serving import running

MOST = 100_000
SEARCH = "/v1/collections/own/search"


def _padded(size: int) -> bytes:
    return b'{"query": {"code": "00"}}'.ljust(size)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("held")
    with running(Settings(hashers=folder / "none", data=folder / "data", max_held_bytes=MOST)) as serving:
        serving.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
        yield serving


def _status(client: httpx.Client, size: int) -> int:
    return client.post(SEARCH, content=_padded(size)).status_code


def test_a_body_that_is_too_much_beside_another_is_a_429_until_that_one_is_gone(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[int] = []
    add = Charge.add

    def noting(charge: Charge, count: int) -> None:
        add(charge, count)
        added.append(count)

    monkeypatch.setattr(Charge, "add", noting)
    address = str(client.base_url.host), client.base_url.port
    with socket.create_connection(address, timeout=20) as slow:
        head = f"POST {SEARCH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90001\r\n\r\n"
        slow.sendall(head.encode() + _padded(90_000))
        deadline = time.monotonic() + 20
        # Not asked before all of it is there: it would be the one that is refused.
        while sum(added) < 90_000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        reply = client.post(SEARCH, content=_padded(20_000))
        problem_of(reply, 429, f"expected at most {MOST} bytes of bodies at one time, got more: try again")
        assert int(reply.headers["retry-after"]) >= 1
        # What there is room for is taken, again and again: it is counted as long as it is held.
        assert [_status(client, 9_000) for _ in range(20)] == [200] * 20
        assert _status(client, 20_000) == 429
        slow.sendall(b" ")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert [_status(client, 90_000) for _ in range(3)] == [200] * 3


def test_one_that_is_alone_is_bounded_by_itself_and_none_is_counted_after_its_end(client: httpx.Client) -> None:
    assert [_status(client, 3 * MOST) for _ in range(3)] == [200] * 3
    for content in (b"{", _padded(50_000)[1:], b""):
        client.post(SEARCH, content=content)
        client.post("/v1/encode", content=content.ljust(50_000))
        client.put("/v1/collections/own", content=content.ljust(50_000))
    assert _status(client, 3 * MOST) == 200


def test_who_is_refused_holds_no_more_than_before() -> None:
    held = HeldBytes(10, "bodies")
    one, other = held.charge(), held.charge()
    one.add(6)
    other.add(4)
    with pytest.raises(BusyError, match="at most 10 bytes of bodies"):
        other.add(1)
    assert (one.bytes, other.bytes, held.bytes) == (6, 4, 10)
    one.release()
    one.release()
    one.add(5)
    # Alone by now.
    other.add(100)
    assert (one.bytes, held.bytes) == (0, 104)
    other.release()
    held.charge().add(10)
    assert held.bytes == 0


def test_what_a_thread_still_works_at_is_held_until_it_lets_go() -> None:
    held = HeldBytes(10, "bodies")
    charge = held.charge()
    charge.add(10)
    closure = [charge]
    del charge
    assert held.bytes == 10
    closure.clear()
    assert held.bytes == 0

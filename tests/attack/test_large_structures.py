"""Bodies of few bytes that would become gigabytes of objects, or millions of faults: refused, in bounded memory."""

import gzip
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection

import httpx
import pytest

from service.http.requests import structure
from service.settings import Settings
from service.store import statements
from tests.attack.watching import watched_liveness, watched_memory
from tests.serving import Process, client_of, running

MEBIBYTE = 2**20
BODY = 16 * MEBIBYTE
HELD = 32 * MEBIBYTE
THREADS = 2
VALUES = 2**17
# docs/reference/settings.md: what is held, and for each thread of either kind what one part becomes beside that.
ALLOWED = HELD + 2 * THREADS * (VALUES * 160 + 4 * MEBIBYTE) + 32 * MEBIBYTE
# Of `/livez`, on a machine that others use, too; alone it is 50 ms.
LONGEST_SECONDS = 1.5
JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
LINES = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
LINES_OF_MANY = BODY // 60_000
PARTS = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
C = "/v1/collections/c"


def _filled(start: bytes, unit: bytes, end: bytes) -> bytes:
    """A body of the largest size: a unit again and again, each but the last followed by a comma."""
    return start + (unit + b",") * ((BODY - len(start) - len(end)) // (len(unit) + 1) - 1) + unit + end


def _names(start: bytes, end: bytes) -> bytes:
    return start + b",".join(b'"n%d":0' % number for number in range(BODY // 16)) + end


def _part(name: bytes, content: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name, content)


# Path, headers, body, the statuses that may answer it.
Attack = tuple[str, dict[str, str], Callable[[], bytes], int]
ATTACKS: dict[str, Attack] = {
    "empty lists as queries": (f"{C}/search", JSON, lambda: _filled(b'{"queries":[', b"[]", b"]}"), 413),
    "empty lists in one query": (f"{C}/search", JSON, lambda: _filled(b'{"query":{"vector":[', b"[]", b"]}}"), 413),
    "empty lists at the top": (f"{C}/search", JSON, lambda: _filled(b"[", b"[]", b"]"), 413),
    "empty objects in a filter": (f"{C}/search", JSON, lambda: _filled(b'{"filter":{"or":[', b"{}", b"]}}"), 413),
    "a small fault in each item": (f"{C}/index", JSON, lambda: _filled(b'{"items":[', b"1", b"]}"), 413),
    "lists in lists in items": (
        f"{C}/index",
        JSON,
        lambda: _filled(b'{"items":[', b"[" + b"[]," * 900 + b"[]]", b"]}"),
        422,
    ),
    "unknown names": (f"{C}/search", JSON, lambda: _names(b"{", b"}"), 413),
    "unknown names in an item": (f"{C}/index", JSON, lambda: _names(b'{"items":[{', b"}]}"), 413),
    "unknown names in each item": (
        f"{C}/index",
        JSON,
        lambda: _filled(b'{"items":[', b"{" + b",".join(b'"n%d":0' % n for n in range(200)) + b"}", b"]}"),
        422,
    ),
    "one name again and again": (f"{C}/search", JSON, lambda: _filled(b"{", b'"limit":1', b"}"), 413),
    "a payload of empty lists": (
        f"{C}/index",
        JSON,
        lambda: _filled(b'{"items":[{"id":"a","code":"00","payload":{"x":[', b"[]", b"]}}]}"),
        413,
    ),
    "objects in objects": (f"{C}/search", JSON, lambda: _filled(b'{"query":[', b'{"a":{"a":{"a":{}}}}', b"]}"), 413),
    "lists without an end": (f"{C}/search", JSON, lambda: b"[" * BODY, 400),
    "a number of a million digits": (f"{C}/search", JSON, lambda: b'{"limit":' + b"1" * MEBIBYTE + b"}", 400),
    "a fraction of a million digits": (f"{C}/search", JSON, lambda: b'{"limit":0.' + b"1" * MEBIBYTE + b"}", 422),
    "ids": (f"{C}/delete", JSON, lambda: _filled(b'{"ids":[', b'"a"', b"]}"), 413),
    "codes": ("/v1/decode", JSON, lambda: _filled(b'{"hasher":"h","codes":[', b"[]", b"]}"), 413),
    "inputs": ("/v1/encode", JSON, lambda: _filled(b'{"hasher":"h","inputs":[', b"{}", b"]}"), 413),
    "a side of a comparison": (f"{C}/compare", JSON, lambda: _filled(b'{"a":[', b"[]", b'],"b":{"id":"a"}}'), 413),
    "duplicates": (f"{C}/duplicates", JSON, lambda: _names(b"{", b"}"), 413),
    "a re-coding": (f"{C}/recode", JSON, lambda: _filled(b'{"hasher":[', b"[]", b"]}"), 413),
    "one line": (
        f"{C}/index",
        LINES,
        lambda: _filled(b'{"id":"a","code":"00","payload":{"x":[', b"[]", b"]}}"),
        413,
    ),
    "many lines": (
        f"{C}/index",
        LINES,
        lambda: (b'{"id":"a","code":"00","x":[' + b"[]," * 20_000 + b"[]]}\n") * LINES_OF_MANY,
        422,
    ),
    "payloads of parts": (
        f"{C}/index",
        PARTS,
        lambda: _part(b"payloads", _filled(b'{"a":{"x":[', b"[]", b"]}}")[:-1000] + b"") + b"--b--\r\n",
        413,
    ),
    "many payloads of parts": (
        f"{C}/index",
        PARTS,
        lambda: (
            _part(b"payloads", b"{" + b",".join(b'"%d":{}' % number for number in range(BODY // 20)) + b"}")
            + b"--b--\r\n"
        ),
        413,
    ),
    "the request of parts": (
        f"{C}/search",
        PARTS,
        lambda: _part(b"image", b"x") + _part(b"request", _filled(b'{"x":[', b"[]", b"]}")[: BODY // 2]) + b"--b--\r\n",
        413,
    ),
    "boundaries in a part": (f"{C}/index", PARTS, lambda: _part(b"a", b"\r\n--bx" * (BODY // 7)) + b"--b--\r\n", 413),
    "a text outside of ASCII": (
        "/v1/encode",
        JSON,
        lambda: b'{"hasher":"h","inputs":[{"text":"' + "\U0001f600".encode() + b"a" * (BODY // 2) + b'"}]}',
        404,
    ),
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("structures")
    options = {
        "--max-body-bytes": BODY,
        "--max-line-bytes": BODY,
        "--max-held-bytes": HELD,
        "--max-inflation": 10_000,
        "--threads": THREADS,
    }
    process = Process(folder / "hashers", folder / "data", *(str(each) for pair in options.items() for each in pair))
    process.client.put(f"{C}", json={"bits": 8}).raise_for_status()
    # What the first of each kind needs once.
    process.client.post(f"{C}/index", json={"items": [{"id": "a", "code": "00"}]}).raise_for_status()
    process.client.post(f"{C}/search", json={"query": {"id": "a"}}).raise_for_status()
    yield process
    process.stop()


@pytest.mark.parametrize("name", ATTACKS)
def test_what_would_become_much_is_refused_in_bounded_memory(serving: Process, name: str) -> None:
    path, headers, content, expected = ATTACKS[name]
    body = gzip.compress(content(), 1)

    def send(client: httpx.Client) -> httpx.Response:
        return client.post(path, content=body, headers=headers)

    with (
        ThreadPoolExecutor(6) as senders,
        client_of(serving.url, timeout=60) as client,
        watched_memory(serving.pid) as memory,
        watched_liveness(serving.url) as live,
    ):
        replies = [each.result() for each in [senders.submit(send, client) for _ in range(6)]]
        # Beside others it may be too much.
        replies.append(send(client))
    print(
        f"{name}: {len(body)} bytes, grown by {memory.grown // MEBIBYTE} MiB of {ALLOWED // MEBIBYTE}, "
        f"/livez at most {live.longest * 1000:.0f} ms, {[each.status_code for each in replies]}"
    )
    assert replies[-1].status_code == expected, replies[-1].text
    assert {each.status_code for each in replies} <= {expected, 429}
    # Of NDJSON every line is told of.
    most = 20 if headers is not LINES else LINES_OF_MANY
    assert all(len(each.json()["errors"]) <= most and len(each.content) < most * 1000 for each in replies)
    assert memory.grown < ALLOWED
    assert not live.failures
    assert live.longest < LONGEST_SECONDS


def test_a_million_unknown_names(serving: Process) -> None:
    """As many as are refused for their number, and as many as are told of."""
    for count, status in ((1_000_000, 413), (100_000, 422)):
        content = b"{" + b",".join(b'"u%d":1' % number for number in range(count)) + b"}"
        headers = {"Content-Encoding": "gzip"}
        with watched_memory(serving.pid) as memory:
            reply = serving.client.post(f"{C}/search", content=gzip.compress(content, 1), headers=headers)
        problem = reply.json()
        assert reply.status_code == status
        assert len(reply.content) < 10_000
        assert memory.grown < ALLOWED
    assert len(problem["errors"]) == 20
    # One more is that there is no query.
    assert "(and 99999 more)" in problem["detail"]


def test_what_is_large_and_right_is_taken(serving: Process) -> None:
    code = os.urandom(1).hex()
    items = b",".join(
        b'{"id":"%d","code":"%b","payload":{"x":[%b]}}' % (number, code.encode(), b",".join([b"[1.5]"] * 200))
        for number in range(5000)
    )
    body = b'{"items":[' + items + b"]}"
    assert serving.client.post(f"{C}/index", content=body).json() == {"indexed": 5000}
    read = serving.client.get(f"{C}/items/4999").json()
    assert read["payload"] == {"x": [[1.5]] * 200}
    queries = b'{"queries":[' + b",".join([b'{"code":"00"}'] * 1000) + b'],"limit":1,"with":[]}'
    assert len(serving.client.post(f"{C}/search", content=queries).json()["results"]) == 1000


def test_a_place_in_bad_utf8_is_told_as_fast_as_any_other() -> None:
    """Each character that is none took the decoder a call, while it held the interpreter's lock."""

    def seconds(text: bytes) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.thread_time()
            structure.invalid(text, len(text), "")
            best = min(best, time.thread_time() - started)
        return best

    good, bad = seconds(b"a" * BODY), seconds(b"\xff" * BODY)
    print(f"{good * 1000:.0f} ms, bad {bad * 1000:.0f} ms")
    assert bad < 3 * good + 0.01
    assert "line 2 column 3 (char 5)" in str(structure.invalid("é\u4e2d\nü\U0001f600x".encode(), 12, ""))


def test_ids_that_no_item_can_have_do_not_reach_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    find = statements.sequences_of

    def noted(connection: Connection, collection: int, ids: Sequence[str]) -> list[int]:
        asked.extend(ids)
        return find(connection, collection, ids)

    monkeypatch.setattr(statements, "sequences_of", noted)
    with running(Settings(hashers=tmp_path / "hashers", data=tmp_path / "data")) as client:
        client.put(C, json={"bits": 8}).raise_for_status()
        longest = "a" * 512
        client.post(f"{C}/index", json={"items": [{"id": longest, "code": "00"}]}).raise_for_status()
        asked.clear()
        ids = [longest, "b", "é" * 6000, "a" * 513]
        assert client.post(f"{C}/delete", json={"ids": ids}).json() == {"deleted": 1}
        assert client.delete(f"{C}/items/{'a' * 6000}").status_code == 404
    assert asked == [longest, "b"]


@pytest.mark.parametrize(
    ("path", "start", "end", "status"),
    [
        (f"{C}/search", b'{"query":{"text":"', b'"}}', 413),
        (f"{C}/search", b'{"query":{"code":"', b'"}}', 422),
        (f"{C}/search", b'{"query":{"code":"00"},"x":"', b'"}', 422),
        (f"{C}/index", b'{"items":[{"id":"a","code":"', b'"}]}', 422),
        (f"{C}/delete", b'{"ids":[1,"', b'"]}', 422),
        (f"{C}/compare", b'{"a":{"text":"', b'"},"b":{"id":"a"}}', 413),
        ("/v1/encode", b'{"hasher":"h","inputs":[{"text":"', b'"}]}', 404),
    ],
)
def test_nothing_of_what_was_refused_stays(serving: Process, path: str, start: bytes, end: bytes, status: int) -> None:
    """An error's traceback refers to all that was made of the body, until Python looks for garbage."""
    body = gzip.compress(start + b"a" * (BODY - 100) + end, 1)
    headers = {"Content-Encoding": "gzip"}
    serving.client.post(path, content=body, headers=headers)
    with watched_memory(serving.pid) as memory:
        for _ in range(6):
            assert serving.client.post(path, content=body, headers=headers).status_code == status
        time.sleep(0.2)
        grown = memory.now() - memory.before
    print(f"{path}: grown by {grown // MEBIBYTE} MiB after 6 bodies of {BODY // MEBIBYTE} MiB")
    assert grown < 3 * BODY

"""Each limit bounds memory as docs/reference/settings.md says: the service is attacked at that limit."""

import base64
import io
import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.settings import Settings
from tests.attack.hostile import NDJSON, UNREAD_BUFFER_BYTES, connect, request
from tests.attack.memory_bounds import expressions, most_bytes
from tests.attack.watching import watched_memory
from tests.serving import Process, client_of

MIB = 2**20
# What the interpreter, its threads and libraries take when they do something for the first time.
FIRST_TIME_BYTES = 64 * MIB
SEARCH = "/v1/collections/own/search"
INDEX = "/v1/collections/own/index"
Attack = Callable[[str], None]


def test_the_page_says_of_each_limit_what_it_bounds() -> None:
    limits = {name for name in Settings.model_fields if name.startswith("max_")} | {"threads", "queue"}
    assert expressions().keys() == limits


def _post(url: str, path: str, content: bytes) -> int:
    with client_of(url, timeout=60) as client, suppress(httpx.TransportError):
        return client.post(path, content=content, headers={"Content-Type": "application/json"}).status_code
    return 0


def _all(*calls: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(calls)) as threads:
        for each in [threads.submit(call) for call in calls]:
            each.result()


def _held(sent: list[bytes], url: str, seconds: float = 2.0) -> None:
    """Connections that send so much, and then nothing."""
    connections: list[socket.socket] = []
    for each in sent:
        connection = connect(url)
        connection.settimeout(5)
        with suppress(OSError):
            connection.sendall(each)
        connections.append(connection)
    time.sleep(seconds)
    for connection in connections:
        connection.close()


def _bodies_that_do_not_end(url: str) -> None:
    whole = request("POST", SEARCH, b'{"query": {"code": "' + b"0" * (4 * MIB))
    _held([whole[:-10]] * 40, url)


def _unfinished_lines(url: str) -> None:
    whole = request("POST", INDEX, b'{"id": "' + b"x" * (4 * MIB - 1000), NDJSON)
    _held([whole.replace(b"Content-Length: ", b"Content-Length: 1")] * 40, url)


def _one_body(url: str) -> None:
    content = b'{"queries": [' + b"[]," * (4 * MIB // 3 - 10) + b"[]]}"
    _post(url, SEARCH, content)
    _post(url, INDEX, json.dumps({"items": [{"id": "a", "code": "é" * (1 * MIB)}]}, ensure_ascii=False).encode())


def _many_values(url: str) -> None:
    values = b"[" + b'{"a":[]},' * 40_000 + b"1]"
    content = b'{"items": [' + b'{"id": "a", "code": "00", "payload": {"x": ' + values + b"}}]}"
    _all(*[lambda: _post(url, INDEX, content)] * 8)


def _replies_that_are_not_read(url: str) -> None:
    sent = request("POST", SEARCH, {"queries": [{"code": "00" * 8}] * 10, "limit": 1000})
    connections = []
    for _ in range(60):
        connection = connect(url, UNREAD_BUFFER_BYTES)
        connection.sendall(sent)
        connections.append(connection)
    time.sleep(4)
    for connection in connections:
        connection.close()


def _many_matches(url: str) -> None:
    content = json.dumps({"queries": [{"code": f"{n:016x}"} for n in range(10)], "limit": 4000}).encode()
    _all(*[lambda: _post(url, SEARCH, content)] * 4)


def _large_pictures(url: str) -> None:
    content = io.BytesIO()
    # Of one colour, so that the body is small.
    Image.new("RGBA", (1999, 1999), (200, 100, 50, 128)).save(content, "WEBP", lossless=True)
    image = base64.b64encode(content.getvalue()).decode()
    body = json.dumps({"hasher": "digits", "inputs": [{"image": image}] * 3}).encode()
    _all(*[lambda: _post(url, "/v1/encode", body)] * 4)


def _long_texts(url: str) -> None:
    random = np.random.default_rng(0)
    text = " ".join(map(str, random.integers(0, 99, 60_000)))[:99_000]
    body = json.dumps({"hasher": "pydocs", "inputs": [{"text": text}] * 4}).encode()
    _all(*[lambda: _post(url, "/v1/encode", body)] * 4)


def _many_collections(url: str) -> None:
    with client_of(url, timeout=60) as client:
        for number in range(600):
            client.put(f"/v1/collections/c{number}", json={"bits": 64})
        client.get("/v1/collections")


# The limits that bound an attack, as they are set for it, and the attack.
ATTACKS: dict[str, tuple[dict[str, int], Attack]] = {
    "bodies": ({"max_held_bytes": 32 * MIB, "max_body_bytes": 8 * MIB}, _bodies_that_do_not_end),
    "lines": ({"max_held_bytes": 32 * MIB, "max_line_bytes": 4 * MIB, "max_body_bytes": 8 * MIB}, _unfinished_lines),
    "one body": ({"max_held_bytes": MIB, "max_body_bytes": 4 * MIB}, _one_body),
    "values": ({"max_values": 131_072, "max_held_bytes": 16 * MIB, "max_body_bytes": MIB}, _many_values),
    "replies": ({"max_unsent_bytes": 16 * MIB, "max_matches": 10_000}, _replies_that_are_not_read),
    "matches": ({"max_matches": 50_000, "max_unsent_bytes": 16 * MIB}, _many_matches),
    "pictures": ({"max_pixels": 4_000_000}, _large_pictures),
    "texts": ({"max_characters": 100_000}, _long_texts),
    "collections": ({"max_collections": 500}, _many_collections),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_limit_bounds_what_the_page_says(hashers: Path, tmp_path: Path, name: str) -> None:
    limits, attack = ATTACKS[name]
    options = [part for each, value in limits.items() for part in (f"--{each.replace('_', '-')}", str(value))]
    serving = Process(hashers, tmp_path / "data", "--threads", "2", "--log-level", "warning", *options)
    try:
        serving.client.put("/v1/collections/own", json={"bits": 64}).raise_for_status()
        lines = b"".join(
            b'{"id": "%06d", "code": "%016x", "payload": {"text": "%s"}}\n' % (n, n, b"x" * 100) for n in range(5000)
        )
        serving.client.post(INDEX, content=lines, headers={"Content-Type": NDJSON}).raise_for_status()
        # Hashers are loaded when they are first used.
        for hasher, document in (("pydocs", {"text": "a"}), ("digits", {"image": _dot()})):
            serving.client.post("/v1/encode", json={"hasher": hasher, "inputs": [document]}).raise_for_status()
        serving.client.post(SEARCH, json={"query": {"code": "00" * 8}}).raise_for_status()
        with watched_memory(serving.pid) as memory:
            attack(serving.url)
        bound = most_bytes(Settings(threads=2, **limits), *limits)  # type: ignore[arg-type]
        seen = f"{name}: {memory.grown / MIB:.0f} MiB more at most"
        print(f"{seen}, of {bound / MIB:.0f} and {FIRST_TIME_BYTES / MIB:.0f}")
        assert memory.grown <= bound + FIRST_TIME_BYTES
        with closing(client_of(serving.url, timeout=30)) as client:
            client.post(SEARCH, json={"query": {"code": "00" * 8}}).raise_for_status()
    finally:
        serving.kill()


def _dot() -> str:
    content = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()

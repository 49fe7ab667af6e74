"""All attacks on memory and time at once, by clients with the smallest role, against two workers.

What the service may take at most follows from its settings, as docs/reference/settings.md says; no worker is lost,
`/livez` goes on answering, and afterwards all is as before.
"""

import base64
import gzip
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from backports import zstd
from PIL import Image

from service.keys import Role, line, new_key
from service.settings import Settings
from tests.attack.hostile import NDJSON, PATIENCE_SECONDS, UNREAD_BUFFER_BYTES, connect, request
from tests.attack.memory_bounds import most_bytes
from tests.attack.watching import watched_liveness, watched_memory
from tests.faults.processes import workers
from tests.serving import Process

WORKERS = 2
KEYS = {role: new_key() for role in Role}
SECONDS, LONG_SECONDS = 15.0, 120.0
MIB = 2**20
# Smaller than by default, so that an attack reaches each of them at once.
LIMITS = {
    "max_held_bytes": 48 * MIB,
    "max_body_bytes": 16 * MIB,
    "max_line_bytes": 4 * MIB,
    "max_unsent_bytes": 32 * MIB,
    "max_matches": 20_000,
    "max_pixels": 4_000_000,
    "max_seconds": 10.0,
    "threads": 2,
}
ITEMS = 10_000
# What is attacked; the other limits bound what this test does not do.
BOUNDS = ("max_held_bytes", "max_body_bytes", "max_values", "max_unsent_bytes", "max_matches", "max_pixels")
PATH = "/v1/collections/pictures"


@pytest.fixture(scope="module")
def serving(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    options = [part for name, value in LIMITS.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    keys = ",".join(line(role, key) for role, key in KEYS.items())
    process = Process(
        hashers,
        tmp_path_factory.mktemp("mixed") / "data",
        *("--workers", str(WORKERS), "--keys", keys, "--log-level", "warning", *options),
    )
    admin = {"Authorization": f"Bearer {KEYS[Role.ADMIN]}"}
    process.client.headers.update(admin)
    process.client.put(PATH, json={"hasher": "digits"}).raise_for_status()
    process.client.put("/v1/collections/own", json={"bits": 64}).raise_for_status()
    lines = b"".join(
        b'{"id": "%06d", "code": "%016x", "payload": {"text": "%s"}}\n' % (number, number, b"x" * 1000)
        for number in range(ITEMS)
    )
    process.client.post("/v1/collections/own/index", content=lines, headers={"Content-Type": NDJSON}).raise_for_status()
    yield process
    process.kill()


def _large_picture() -> str:
    content = io.BytesIO()
    Image.fromarray(np.zeros((1999, 1999), np.uint8)).save(content, "PNG", compress_level=9)
    return base64.b64encode(content.getvalue()).decode()


PICTURE = _large_picture()
SEARCH = "/v1/collections/own/search"
# What is sent, and by which role; each is refused or answered, at a bounded price.
ATTACKS: dict[str, tuple[bytes, Role]] = {
    "unknown fields": (
        request(
            *("POST", SEARCH, b"{" + b",".join(b'"f%d":1' % number for number in range(1_200_000)) + b"}"),
            Authorization=f"Bearer {KEYS[Role.READ]}",
        ),
        Role.READ,
    ),
    "lists": (
        request(
            *("POST", SEARCH, gzip.compress(b'{"queries": [' + b"[]," * (5 * MIB) + b"[]]}")),
            Authorization=f"Bearer {KEYS[Role.READ]}",
            Content_Encoding="gzip",
        ),
        Role.READ,
    ),
    "depth": (
        request("POST", SEARCH, b'{"filter": ' + b'{"not":' * 1_000_000, Authorization=f"Bearer {KEYS[Role.READ]}"),
        Role.READ,
    ),
    "numbers": (
        request(
            *("POST", "/v1/encode", b'{"hasher":"vectors","inputs":[{"vector":[' + b"0," * (7 * MIB) + b"0]}]}"),
            Authorization=f"Bearer {KEYS[Role.READ]}",
        ),
        Role.READ,
    ),
    "pictures": (
        request(
            *("POST", "/v1/encode", {"hasher": "digits", "inputs": [{"image": PICTURE}] * 45}),
            Authorization=f"Bearer {KEYS[Role.READ]}",
        ),
        Role.READ,
    ),
    "preferences": (
        request(
            *("POST", "/v1/collections/own/duplicates", {"max_distance": 0}),
            Authorization=f"Bearer {KEYS[Role.READ]}",
            Prefer='"' + '\\"' * 30_000,
        ),
        Role.READ,
    ),
    "filters": (
        request(
            *("POST", SEARCH),
            {
                "query": {"code": "00" * 8},
                "filter": {"or": [{"text": {"in": [f"{n}-{m}" for m in range(20)]}} for n in range(40)]},
            },
            Authorization=f"Bearer {KEYS[Role.READ]}",
        ),
        Role.READ,
    ),
}
LARGE_REPLY = request(
    *("POST", SEARCH, {"queries": [{"code": "00" * 8}] * 10, "limit": 1500}),
    Authorization=f"Bearer {KEYS[Role.READ]}",
)
UNFINISHED_LINE = zstd.compress(b" " * 10 + b'{"id": "' + b"x" * (4 * MIB - 100))


def _send(url: str, sent: bytes) -> str:
    with closing(connect(url)) as connection:
        try:
            connection.sendall(sent)
            return connection.recv(65536).split(b"\r\n")[0].decode()
        except OSError as error:
            return type(error).__name__


def _do_not_read(url: str) -> str:
    with closing(connect(url, UNREAD_BUFFER_BYTES)) as connection, suppress(OSError):
        connection.sendall(LARGE_REPLY)
        time.sleep(3)
    return "not read"


def _unfinished_line(url: str) -> str:
    head = request(
        *("POST", f"{PATH}/index", UNFINISHED_LINE, NDJSON),
        Authorization=f"Bearer {KEYS[Role.WRITE]}",
        Content_Encoding="zstd",
    ).replace(b"Content-Length: %d" % len(UNFINISHED_LINE), b"Content-Length: %d" % (len(UNFINISHED_LINE) + 1))
    with closing(connect(url)) as connection, suppress(OSError):
        connection.sendall(head)
        time.sleep(3)
    return "unfinished"


def _leave(url: str) -> str:
    with closing(connect(url)) as connection, suppress(OSError):
        connection.sendall(ATTACKS["pictures"][0])
        time.sleep(0.2)
    return "left"


@pytest.mark.timeout(600)
def test_all_attacks_at_once_are_bounded_by_the_settings(serving: Process, request: pytest.FixtureRequest) -> None:
    seconds = LONG_SECONDS if request.config.getoption("--long") else SECONDS
    outcomes: Counter[tuple[str, str]] = Counter()
    stop = time.monotonic() + seconds
    before = workers(serving.pid)

    def attack(name: str, call: Callable[[], str]) -> None:
        while time.monotonic() < stop:
            outcomes[name, call()] += 1

    calls: list[tuple[str, Callable[[], str]]] = [
        (name, lambda sent=sent: _send(serving.url, sent))
        for name, (sent, _) in ATTACKS.items()  # type: ignore[misc]
    ] * 3
    calls += [("large reply", lambda: _do_not_read(serving.url))] * 20
    calls += [("unfinished line", lambda: _unfinished_line(serving.url))] * 30
    calls += [("pictures", lambda: _leave(serving.url))] * 4
    searches: list[int] = []
    with watched_memory(serving.pid) as memory, watched_liveness(serving.url) as liveness:
        with ThreadPoolExecutor(len(calls)) as threads:
            running = [threads.submit(attack, name, call) for name, call in calls]
            while time.monotonic() < stop:
                searches.append(serving.client.post(SEARCH, json={"query": {"code": "00" * 8}}).status_code)
                time.sleep(0.2)
        for each in running:
            each.result()
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name}: {outcome}: {count}")
    bound = WORKERS * most_bytes(Settings(**LIMITS), *BOUNDS)  # type: ignore[arg-type]
    print(f"searches of others meanwhile: {Counter(searches)}")
    print(f"memory: {memory.before / MIB:.0f} MiB before, {memory.grown / MIB:.0f} more at most, of {bound / MIB:.0f}")
    live = f"p99 {liveness.percentile(0.99):.3f} s, longest {liveness.longest:.3f} s"
    print(f"/livez: {len(liveness.seconds)} answers, {live}")
    assert memory.grown <= bound
    assert workers(serving.pid) == before
    assert not liveness.failures
    assert not any(outcome.startswith("HTTP/1.1 500") for _, outcome in outcomes)
    assert searches.count(200) > len(searches) / 2
    # Afterwards nothing is held, and nothing is refused.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while serving.client.post(SEARCH, json={"query": {"code": "00" * 8}}).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert serving.client.get("/readyz").status_code == 200

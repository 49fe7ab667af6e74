"""What tests of jobs ask a service for."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.serving import client_of

Json = dict[str, Any]
LONGEST_SECONDS = 30
NDJSON = {"Content-Type": "application/x-ndjson"}
ASYNC = {"Prefer": "respond-async"}
BATCH = 1000
UNDER_WAY: "list[Import]" = []


def create(client: httpx.Client, name: str = "c", items: int = 0) -> str:
    """A new collection's path, with so many items."""
    path = f"/v1/collections/{name}"
    client.put(path, json={"bits": 64}).raise_for_status()
    if items:
        client.post(f"{path}/index", content=b"".join(lines(0, items)), headers=NDJSON).raise_for_status()
    return path


def lines(first: int, last: int) -> Iterator[bytes]:
    for number in range(first, last):
        yield b'{"id":"%07d","code":"%016x"}\n' % (number, number * 0x9E3779B97F4A7C15 % 2**64)


def count(client: httpx.Client, path: str) -> int:
    found: int = client.get(path).json()["count"]
    return found


def jobs(client: httpx.Client, **parameters: str) -> list[Json]:
    found: list[Json] = client.get("/v1/jobs", params=parameters).raise_for_status().json()["jobs"]
    return found


def wait_for(client: httpx.Client, fits: Callable[[Json], bool], **parameters: str) -> Json:
    """The newest job that fits, once there is one."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        found = jobs(client, **parameters)
        for job in found:
            if fits(job):
                return job
        time.sleep(0.05)
    raise AssertionError(f"no such job, but {found}")


def over(client: httpx.Client, number: int) -> Json:
    """A job once it is over."""
    return wait_for(client, lambda job: job["id"] == number and job["state"] not in ("queued", "running"))


class Import:
    """NDJSON that goes on, a batch at a time, until it is told to end; the reply, or what it broke off with."""

    def __init__(self, url: Any, path: str, bad: bytes = b"") -> None:
        self.sent = 0
        self.reply: httpx.Response | None = None
        self.error: httpx.HTTPError | None = None
        self._bad = bad
        self._end = threading.Event()
        self._vanish = threading.Event()
        # Ended by the fixture of a service where a test fails: it would wait for it.
        UNDER_WAY.append(self)
        self._thread = threading.Thread(target=self._run, args=(url, f"{path}/index"))
        self._thread.start()

    def end(self) -> httpx.Response:
        """Send the end; the reply."""
        self._end.set()
        self._thread.join(LONGEST_SECONDS)
        assert self.reply is not None, self.error
        return self.reply

    def vanish(self) -> None:
        """Close the connection in the midst of it."""
        self._vanish.set()
        self._thread.join(LONGEST_SECONDS)

    def send_more(self, batches: int = 2) -> None:
        """Return once it has sent so many more batches, as far as the service takes any."""
        sent, deadline = self.sent, time.monotonic() + LONGEST_SECONDS
        while self.sent < sent + batches * BATCH and self._thread.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def wait(self) -> None:
        """Until the service has ended it."""
        self._thread.join(LONGEST_SECONDS)
        assert not self._thread.is_alive()

    def _run(self, url: Any, path: str) -> None:
        with client_of(url, timeout=LONGEST_SECONDS) as client:
            try:
                self.reply = client.post(path, content=self._content(), headers=NDJSON)
            except httpx.HTTPError as error:
                self.error = error

    def _content(self) -> Iterator[bytes]:
        yield self._bad
        while not self._end.wait(0.05):
            if self._vanish.is_set():
                raise httpx.WriteError("gone")
            yield b"".join(lines(self.sent, self.sent + BATCH))
            self.sent += BATCH

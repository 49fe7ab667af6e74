"""Worker processes that say nothing for a while are not dead; those that are dead are replaced all the while."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from service.process import workers as supervising
from service.process.metrics_folder import LOCK, PREFIX, SHARED_MEMORY, sweep
from service.process.workers import Workers
from tests.faults.conftest import Start
from tests.faults.processes import holder, workers
from tests.serving import Process

# uvicorn kills a worker that is silent for 5 seconds, which it notices half a second later.
SILENT_SECONDS = 6.5
SEARCH = b'{"query": {"code": "0f"}}'


class Asked:
    """A connection with a request of which the last byte was not sent yet, and the worker that has it."""

    def __init__(self, serving: Process) -> None:
        where = httpx.URL(serving.url)
        self._connection = socket.create_connection((str(where.host), where.port), timeout=30)
        head = f"POST /v1/collections/own/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(SEARCH)}\r\n\r\n"
        self._connection.sendall(head.encode() + SEARCH[:-1])
        time.sleep(0.3)
        processes = serving_workers(serving) or [serving.pid]
        self.worker = holder(processes, int(where.port or 0), self._connection.getsockname()[1])

    def answer(self) -> bytes:
        """The reply once the request is sent whole."""
        self._connection.sendall(SEARCH[-1:])
        received = b""
        while not received.endswith(b"}") and (part := self._connection.recv(65536)):
            received += part
        self._connection.close()
        return received


def serving_workers(serving: Process) -> list[int]:
    """The worker processes, without the helper that multiprocessing starts."""
    return [each for each in workers(serving.pid) if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def serving(start: Start, tmp_path: Path) -> Process:
    """A service of two workers with an empty collection."""
    process = start(tmp_path / "data", "--workers", "2")
    process.client.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
    return process


def test_a_silent_worker_keeps_its_requests_and_a_dead_one_is_replaced_meanwhile(serving: Process) -> None:
    asked = Asked(serving)
    before = serving_workers(serving)
    (other,) = set(before) - {asked.worker}
    os.kill(asked.worker, signal.SIGSTOP)
    silent_since = time.monotonic()
    try:
        # Whoever waits for the answer of the silent one does not see that the other has ended.
        time.sleep(1)
        os.kill(other, signal.SIGKILL)
        _until(lambda: len(serving_workers(serving)) == 2 and other not in serving_workers(serving), 5)
        time.sleep(max(0.0, silent_since + SILENT_SECONDS - time.monotonic()))
    finally:
        os.kill(asked.worker, signal.SIGCONT)
    answer = asked.answer()
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b'{"results":[],"hasher":null}')
    # Longer than the parent looks once more.
    time.sleep(1.5)
    now = serving_workers(serving)
    assert asked.worker in now and len(now) == 2
    assert "has ended with -9" in serving.log.read_text()
    serving.stop()


def test_a_service_with_a_silent_worker_stops_in_time(serving: Process, long: bool) -> None:
    if not long:
        pytest.skip("waits ten seconds for the worker: --long")
    os.kill(serving_workers(serving)[0], signal.SIGSTOP)
    time.sleep(1)
    started = time.monotonic()
    serving.stop()
    assert time.monotonic() - started < supervising.KILL_SECONDS + 2


def test_a_worker_that_is_silent_for_minutes_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(supervising, "monotonic", lambda: clock[0])
    made: list[Any] = []

    class Fake:
        """A worker that answers while it is told to."""

        def __init__(self, config: object, sockets: object) -> None:
            self.parent_conn, self.child_conn = multiprocessing.Pipe()
            self.pid = len(made)
            self.process = self
            self.exitcode: int | None = None
            self.answers = True
            made.append(self)

        def start(self) -> None:
            pass

        def is_alive(self) -> bool:
            while self.answers and self.child_conn.poll():
                self.child_conn.recv()
                self.child_conn.send(True)
            return self.exitcode is None

        def kill(self) -> None:
            self.exitcode = -9 if self.exitcode is None else self.exitcode

        def join(self) -> None:
            pass

    monkeypatch.setattr(supervising, "Process", Fake)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    supervisor = Workers(uvicorn.Config("nothing", workers=2), [])
    supervisor.processes = [Fake(None, None), Fake(None, None)]  # type: ignore[list-item]

    def look(seconds: float) -> list[int | None]:
        clock[0] += seconds
        supervisor.keep_subprocess_alive()
        return [worker.pid for worker in supervisor.processes]

    assert look(0) == look(1) == [0, 1]
    made[0].answers = False
    assert look(1) == look(supervising.SILENT_SECONDS - 2) == [0, 1]
    # In time after all.
    made[0].answers = True
    assert look(0.5) == look(2) == [0, 1]
    made[0].answers = False
    assert look(1) == look(supervising.SILENT_SECONDS - 2) == [0, 1]
    assert look(2) == [2, 1]
    made[1].exitcode = -11
    assert look(0.5) == [2, 3]
    assert not supervisor.should_exit.is_set()
    made[2].exitcode = supervising.STARTUP_FAILURE
    look(0.5)
    assert supervisor.should_exit.is_set()


@pytest.mark.parametrize("count", [1, 2])
def test_a_hangup_is_an_orderly_stop(start: Start, tmp_path: Path, count: int) -> None:
    serving = start(tmp_path / "data", *(["--workers", "2"] if count > 1 else []))
    serving.client.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
    asked = Asked(serving)
    # As a terminal that is closed does it.
    for process in [serving.pid, *(serving_workers(serving) if count > 1 else [])]:
        os.kill(process, signal.SIGHUP)
    time.sleep(1)
    answer = asked.answer()
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b'{"results":[],"hasher":null}')
    serving.client.close()
    assert serving._process.wait(timeout=20) in (0, -signal.SIGTERM)
    assert "Traceback" not in serving.log.read_text()


@pytest.mark.parametrize("count", [1, 2])
def test_a_hangup_that_is_ignored_stays_so(start: Start, tmp_path: Path, count: int) -> None:
    serving = start(tmp_path / "data", *(["--workers", "2"] if count > 1 else []), prefix=["nohup"])
    for process in [serving.pid, *(serving_workers(serving) if count > 1 else [])]:
        os.kill(process, signal.SIGHUP)
    time.sleep(1.5)
    assert serving.client.get("/readyz").status_code == 200
    serving.stop()


def _folders() -> set[Path]:
    return set(SHARED_MEMORY.glob(f"{PREFIX}*"))


def test_folders_of_killed_services_are_deleted_and_no_others(start: Start, tmp_path: Path) -> None:
    before = _folders()
    killed = start(tmp_path / "killed", "--workers", "2")
    (left,) = _folders() - before
    lives = start(tmp_path / "lives", "--workers", "2")
    (kept,) = _folders() - before - {left}
    killed.kill()
    assert left.exists() and (left / LOCK).exists()
    start(tmp_path / "next")
    assert not left.exists() and kept.exists()
    lives.client.put("/v1/collections/own", json={"bits": 8}).raise_for_status()
    assert "hammingway_requests_total" in lives.client.get("/metrics").text
    lives.stop()
    assert not kept.exists()


def test_only_what_is_surely_left_is_deleted(tmp_path: Path) -> None:
    ended = multiprocessing.get_context("spawn").Process(target=print)
    ended.start()
    ended.join()
    old = time.time() - 3600

    def folder(name: str, *files: str, age: float = old) -> Path:
        made = tmp_path / name
        made.mkdir()
        for file in files:
            (made / file).write_bytes(b"")
        os.utime(made, (age, age))
        return made

    gone = f"counter_{ended.pid}.db"
    left = [
        folder("hammingway-locked-once", LOCK, gone, "gauge_livesum_7.db"),
        folder("hammingway-without-lock", gone),
        folder("hammingway-empty", LOCK),
    ]
    kept = [
        folder("hammingway-young", gone, age=time.time()),
        folder("hammingway-counting", gone, f"histogram_{os.getpid()}.db"),
        folder("hammingway-backup", "hammingway.sqlite"),
        folder("hammingway-more", LOCK, gone, "notes.txt"),
        folder("hammingway-none"),
        folder("other", LOCK, gone),
    ]
    os.mkfifo(tmp_path / "hammingway-young" / "fifo")
    (tmp_path / "hammingway-link").symlink_to(kept[2])
    (tmp_path / "hammingway-file").write_text("kept")
    pipe = folder("hammingway-pipe", gone)
    os.mkfifo(pipe / LOCK)
    sweep(tmp_path)
    assert [each.exists() for each in left] == [False] * len(left)
    assert [each.exists() for each in kept] == [True] * len(kept)
    assert (tmp_path / "hammingway-more" / "notes.txt").exists()
    assert (tmp_path / "hammingway-link").exists() and (tmp_path / "hammingway-file").read_text() == "kept"

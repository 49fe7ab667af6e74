"""Where the service listens without keys: on this machine, or where it is told to be open; and what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.keys import Role, line, new_key
from tests.serving import client_of, free_port, wait_until_ready


def _start(data: Path, *options: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "service", "--data", str(data), "--hashers", str(data / "none"), *options]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HAMMINGWAY_")}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean | environment)


def _refused(data: Path, *options: str, **environment: str) -> str:
    process = _start(data, *options, **environment)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert told.startswith("error: ") and len(told.splitlines()) == 1
    # Before anything is made.
    assert not data.exists()
    return told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_it_does_not_listen_to_others_without_keys(tmp_path: Path, host: str) -> None:
    told = _refused(tmp_path / "data", "--host", host)
    assert host in told
    for way in ("--keys", "python -m scripts.key", "--allow-open"):
        assert way in told


def test_keys_that_cannot_be_read_keep_it_from_starting(tmp_path: Path) -> None:
    secret = new_key()
    for setting in (secret, "", f"read:{secret}", str(tmp_path / "not there")):
        told = _refused(tmp_path / "data", HAMMINGWAY_KEYS=setting)
        assert "keys: expected" in told
        assert secret not in told


@pytest.mark.parametrize("options", [("--allow-open",), ("--keys", line(Role.READ, "k"))])
def test_it_listens_where_it_is_told_to(tmp_path: Path, options: tuple[str, ...]) -> None:
    port = free_port()
    process = _start(tmp_path / "data", "--host", "0.0.0.0", "--port", str(port), *options)
    try:
        with client_of(f"http://127.0.0.1:{port}") as client:
            wait_until_ready(client)
            is_open = options == ("--allow-open",)
            assert client.get("/v1/collections").status_code == (200 if is_open else 401)
            assert client.get("/v1/collections", headers={"Authorization": "Bearer k"}).status_code == 200
            assert "server" not in client.get("/livez").headers
    finally:
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert (f"warning: open to whoever reaches 0.0.0.0:{port}" in told) is is_open

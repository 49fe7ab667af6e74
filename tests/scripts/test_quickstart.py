"""scripts/quickstart as a newcomer runs it: a copy of the project, an environment of its own, nothing else."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.serving import free_port

ROOT = Path(__file__).parent.parent.parent
SECONDS = 300
LEFT_OUT = shutil.ignore_patterns(".*", "var", "build", "*.egg-info", "__pycache__")


def _environment(port: int) -> dict[str, str]:
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "OMP_NUM_THREADS")
    return {name: value for name, value in os.environ.items() if name not in left_out} | {"HAMMINGWAY_PORT": str(port)}


@pytest.mark.timeout(2 * SECONDS)
def test_quickstart_trains_indexes_shows_and_serves(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT, project, ignore=LEFT_OUT)
    port = free_port()
    started = time.monotonic()
    done = subprocess.run(
        ["scripts/quickstart", "--exit"], cwd=project, env=_environment(port), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < SECONDS
    # What a person judges: the answer to a question, and pictures with their labels.
    assert re.search(r"│ \d+ +│ shutil\.copytree: Recursively copy a directory tree", done.stdout)
    assert re.search(r"│ \d+ +│ sched\.", done.stdout)
    labels = re.findall(r"label (\d)", done.stdout)
    assert len(labels) == 12
    for found, label in zip((labels[:4], labels[4:8], labels[8:]), "967", strict=True):
        assert found.count(label) >= 3
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez")

    # Again, without --exit: nothing is trained twice, and it serves until Ctrl-C.
    log = tmp_path / "log"
    with log.open("w") as output:
        serving = subprocess.Popen(
            ["scripts/quickstart"], cwd=project, env=_environment(port), stdout=output, stderr=output, process_group=0
        )
    while "var/service.log." not in log.read_text():
        assert serving.poll() is None, log.read_text()
        time.sleep(0.1)
    printed = log.read_text()
    assert "var/hashers/pydocs@1 is there already" in printed
    assert httpx.get(re.search(r"http://\S+/docs", printed)[0]).is_success
    curl = subprocess.run(
        printed[printed.index("\ncurl") :].split("\n\n")[0], shell=True, capture_output=True, text=True
    )
    assert curl.stdout.startswith('{"results":[{"id":"shutil.copytree"')

    taken = subprocess.run(["scripts/quickstart"], cwd=project, env=_environment(port), capture_output=True, text=True)
    assert taken.returncode == 1
    assert f"error: expected port {port} to be free" in taken.stderr

    os.killpg(serving.pid, signal.SIGINT)
    assert serving.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez")


def test_unknown_arguments_are_answered_with_the_usage() -> None:
    done = subprocess.run([ROOT / "scripts" / "quickstart", "--quit"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: scripts/quickstart [--exit]")

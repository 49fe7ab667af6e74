"""The services that tests start, as far as a mistake there would hit what is not theirs."""

import os
from pathlib import Path

import pytest

from tests.serving import Process


def test_a_number_is_not_killed_once_its_process_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, killed = (Process(tmp_path / "none", tmp_path / name) for name in ("stopped", "killed"))
    groups: list[int] = []
    kill = os.killpg

    def killpg(group: int, number: int) -> None:
        groups.append(group)
        kill(group, number)

    monkeypatch.setattr(os, "killpg", killpg)
    stopped.stop()
    killed.kill()
    for process in (stopped, killed):
        process.kill()
    assert groups == [killed.pid]

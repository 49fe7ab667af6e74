"""The one shell that a page's `bash` blocks are run in, so that what one sets and starts is there for the next."""

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 120
GRACE_SECONDS = 15


class Terminal:
    """A shell in a folder; `close` ends it with all that it started, as closing a terminal does."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._log = folder.with_name(f"{folder.name}.log")
        self._number = 0
        read, self._done = os.pipe()
        os.set_blocking(read, False)
        self._read = read
        self._shell = subprocess.Popen(
            ["bash", "-eo", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[self._done],
            start_new_session=True,
            text=True,
        )

    def bash(self, commands: str) -> str:
        """Run commands up to the first that fails, which is an error; returns what they printed on standard output."""
        return self._run(commands)

    def python(self, program: str) -> str:
        """Run a program from a file of its own."""
        path = self._beside("py")
        path.write_text(program)
        return self._run(f"python {shlex.quote(str(path))}", program)

    def close(self) -> None:
        """SIGTERM to all that is left, SIGKILL to what does not heed it."""
        assert self._shell.stdin is not None
        with suppress(BrokenPipeError):
            self._shell.stdin.close()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self._shell.poll() is None or self._others():
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                break
            time.sleep(0.02)
        self._shell.wait()
        os.close(self._read)
        os.close(self._done)

    def _run(self, commands: str, shown: str | None = None) -> str:
        script, printed, told = self._beside("sh"), self._beside("out"), self._beside("err")
        script.write_text(commands)
        assert self._shell.stdin is not None
        self._shell.stdin.write(
            f"source {shlex.quote(str(script))} </dev/null >{shlex.quote(str(printed))} 2>{shlex.quote(str(told))}\n"
            f"printf x >&{self._done}\n"
        )
        self._shell.stdin.flush()
        self._number += 1
        deadline = time.monotonic() + SECONDS
        while True:
            with suppress(BlockingIOError):
                if os.read(self._read, 1):
                    return printed.read_text()
            if self._shell.poll() is not None or time.monotonic() > deadline:
                why = "a command failed" if self._shell.poll() is not None else f"not done in {SECONDS} seconds"
                out = printed.read_text() if printed.exists() else ""
                err = told.read_text()[-4000:] if told.exists() else ""
                raise AssertionError(f"{why}:\n{shown or commands}\n--- printed\n{out}\n--- standard error\n{err}")
            time.sleep(0.005)

    def _beside(self, suffix: str) -> Path:
        # Not in the folder itself, which is the reader's.
        self._log.mkdir(exist_ok=True)
        return self._log / f"{self._number:02d}.{suffix}"

    def _others(self) -> list[int]:
        """Processes of the shell's session that are left."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self._shell.pid and state != "Z":
                    found.append(int(path.parent.name))
        return found

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, number)


def reader_environment(folder: Path, port: int, url: str) -> dict[str, str]:
    """The environment of somebody who has installed Hammingway and activated its virtual environment."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HAMMINGWAY_")}
    own.pop("VIRTUAL_ENV", None)
    return own | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "HAMMINGWAY_PORT": str(port),
        "HAMMINGWAY_URL": url,
    }

"""A real Milvus server for tests and measurements: started, killed and started again on the same folder."""

import json
import os
import signal
import socket
import subprocess  # nosec B404  # commands of ours
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.errors import HammingwayError
from scripts.milvus.configuration import etcd_settings, free_ports, server_settings, usual_ports

ROOT = Path(__file__).resolve().parents[2]
# Where scripts/install-milvus puts the server and the libraries that it loads.
BINARIES = ROOT / ".venv-milvus" / "server"
KEEPER = Path(__file__).with_name("keeper.py")
# The first start takes 3 seconds on two idle cores, one after SIGKILL 9: what the killed one held has to lapse.
START_SECONDS = 120


class MilvusError(HammingwayError):
    """The server could not be started; the message ends with what its log says."""

    title = "Milvus failed"


class MilvusServer:
    """One standalone Milvus server, its data, configuration and logs in `folder`.

    It gets a network namespace of its own where that is allowed, since it listens on all addresses of the machine:
    nothing but its own port is reachable then, on 127.0.0.1. Elsewhere its eleven ports are free ones.
    `settings` are merged into milvus.yaml, section by section. The server ends with the process that started it.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        if not (BINARIES / "milvus").exists():
            raise MilvusError(f"expected a Milvus server in {BINARIES}: scripts/install-milvus puts it there")
        self.folder = folder.absolute()
        self._namespace = namespace_command()
        self._ports = free_ports() if self._namespace is None else usual_ports()
        self._port = free_ports()["proxy"] if self._namespace is not None else self._ports["proxy"]
        self._settings = settings or {}
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where clients reach it: the same address after each start."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return once the server answers; MilvusError with what its log says if it ends, or takes two minutes."""
        if self._keeper is not None:
            raise MilvusError(f"expected a server that is stopped, the one at {self.uri} runs")
        self._configure()
        with (self.folder / "logs" / "server.log").open("ab") as log:
            self._keeper = self._launch(log.fileno())
        if not ready(self._keeper):
            self.kill()
            raise MilvusError(f"expected Milvus to be ready within {START_SECONDS} s; its log says:\n{self.log()}")

    def kill(self) -> None:
        """SIGKILL to the server and what keeps it: what it acknowledged is on disk, or the server lies."""
        if self._keeper is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._keeper.pid, signal.SIGKILL)
        # Also waits for the server, which is not our child: its locks are free once it has closed what it had open.
        self._keeper.communicate()
        self._keeper = None

    def stop(self) -> None:
        """The same as `kill`: after SIGTERM the server tidies up for more than a minute, and then looks the same."""
        self.kill()

    def log(self) -> str:
        """4,000 characters of what the server wrote: from where it gave up, or else the last ones."""
        text = (self.folder / "logs" / "server.log").read_text(errors="replace")
        gave_up = text.rfind("\npanic: ")
        return text[-4000:] if gave_up < 0 else text[gave_up : gave_up + 4000]

    def __enter__(self) -> "MilvusServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configure(self) -> None:
        """Files of configuration: JSON is YAML, too."""
        for name in ("configs", "data", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        settings = server_settings(self.folder, self._ports)
        for section, values in self._settings.items():
            settings[section] = settings.get(section, {}) | dict(values)
        (self.folder / "configs" / "milvus.yaml").write_text(json.dumps(settings))
        (self.folder / "configs" / "etcd.yaml").write_text(json.dumps(etcd_settings(self.folder, self._ports)))
        (self.folder / "configs" / "glog.conf").write_text("--logtostderr=true\n--minloglevel=1\n")

    def _launch(self, log: int) -> "subprocess.Popen[bytes]":
        """The keeper, which runs the server: in a session of its own, so that one signal reaches both."""
        ports = [f"--port={self._ports['proxy']}", f"--health={self._ports['health']}"]
        keeper = [sys.executable, "-I", str(KEEPER), *ports]
        command = ["--", str(BINARIES / "milvus"), "run", "standalone"]
        environment = os.environ | {
            "DEPLOY_MODE": "STANDALONE",
            "MILVUSCONF": str(self.folder / "configs"),
            "METRICS_PORT": str(self._ports["health"]),
            "LD_LIBRARY_PATH": str(BINARIES),
        }
        with socket.socket() as listening:
            passed = []
            if self._namespace is not None:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(("127.0.0.1", self._port))
                listening.listen()
                passed = [listening.fileno()]
                keeper = [*self._namespace, *keeper, f"--listening={listening.fileno()}"]
            return subprocess.Popen(  # nosec B603  # a list of ours, no shell
                [*keeper, *command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=passed,
                start_new_session=True,
            )


def ready(keeper: "subprocess.Popen[bytes]") -> bool:
    """Whether the keeper says so in time; it is killed when it takes longer, which ends its output."""
    late = threading.Timer(START_SECONDS, os.killpg, (keeper.pid, signal.SIGKILL))
    late.start()
    try:
        return keeper.stdout is not None and keeper.stdout.readline() == b"ready\n"
    finally:
        late.cancel()


def namespace_command() -> list[str] | None:
    """A command that runs another in a network namespace of its own, as this user may; None where none is allowed."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        with suppress(OSError):
            tried = subprocess.run([*command, "true"], capture_output=True)  # nosec B603  # a list of ours, no shell
            if tried.returncode == 0:
                return command
    return None

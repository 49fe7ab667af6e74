"""The configuration of a Milvus server of one's own: everything in one folder, every port chosen here."""

import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

# Of the parts of a standalone server, with the port that each takes where it has the machine to itself.
PARTS = {
    "proxy": 19530,
    "rootCoord": 53100,
    "queryCoord": 19531,
    "queryNode": 21123,
    "indexNode": 21121,
    "dataCoord": 13333,
    "dataNode": 21124,
}
OTHERS = {"internal": 19529, "health": 9091, "etcd": 2379, "etcd peer": 2380}
# Below those that Linux gives to connections: a server that is started again finds its own ones free.
FREE_PORTS = range(22_000, 32_000)
# A server that was killed holds its place for so long, and the next one waits; 60 if nobody says anything.
SESSION_SECONDS = 5


def usual_ports() -> dict[str, int]:
    """The ports of a server that has a network namespace to itself."""
    return PARTS | OTHERS


def free_ports() -> dict[str, int]:
    """As many ports of this machine that nothing listens on now."""
    found: set[int] = set()
    while len(found) < len(PARTS | OTHERS):
        port = FREE_PORTS.start + secrets.randbelow(len(FREE_PORTS))
        with socket.socket() as free, suppress(OSError):
            free.bind(("", port))
            found.add(port)
    return dict(zip(PARTS | OTHERS, found, strict=True))


def server_settings(folder: Path, ports: dict[str, int]) -> dict[str, Any]:
    """What is put into milvus.yaml: where things are; all else is as the server has it."""
    settings: dict[str, Any] = {
        "etcd": {
            "endpoints": f"127.0.0.1:{ports['etcd']}",
            "use": {"embed": True},
            "data": {"dir": str(folder / "data" / "etcd")},
            "config": {"path": str(folder / "configs" / "etcd.yaml")},
            "log": {"level": "warn", "path": str(folder / "logs" / "etcd.log")},
        },
        "localStorage": {"path": str(folder / "data")},
        "mq": {"type": "rocksmq"},
        "rocksmq": {"path": str(folder / "data" / "rocksmq")},
        "common": {"storageType": "local", "session": {"ttl": SESSION_SECONDS}},
        "log": {"level": "warn"},
        **{part: {"ip": "127.0.0.1", "port": ports[part]} for part in PARTS},
    }
    settings["proxy"]["internalPort"] = ports["internal"]
    return settings


def etcd_settings(folder: Path, ports: dict[str, int]) -> dict[str, Any]:
    """What the etcd inside the server is started with: this, once it is given, is all that it looks at."""
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd peer"))
    return {
        "name": "default",
        "data-dir": str(folder / "data" / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "log-level": "warn",
        "log-outputs": [str(folder / "logs" / "etcd.log")],
    }

"""compose.yaml and its profile with Milvus, held against image and settings: no container engine runs here."""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from scripts.milvus.configuration import OTHERS as OTHERS_OF_MILVUS
from scripts.milvus.configuration import PARTS
from service.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
COMPOSED = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSED["services"]
OURS = {"hammingway", "replica"}
OTHERS = SERVICES.keys() - OURS
# Of the Compose Specification; another key of a service, mistyped, would be refused, or worse, left.
KEYS = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "networks",
    "ports",
    "profiles",
    "read_only",
    "restart",
    "security_opt",
    "stop_grace_period",
    "tmpfs",
    "volumes",
}
HEALTH = {"test", "interval", "timeout", "start_period", "retries"}


def named_volumes(name: str) -> dict[str, str]:
    """Volumes of a service that have a name, with where they are mounted."""
    mounts = [mount.split(":") for mount in SERVICES[name].get("volumes", [])]
    return {source: target for source, target, *_ in mounts if not source.startswith(".")}


def test_without_the_profile_there_is_the_service_alone() -> None:
    assert [name for name, service in SERVICES.items() if "profiles" not in service] == ["hammingway"]
    assert all(service["profiles"] == ["milvus"] for name, service in SERVICES.items() if name != "hammingway")


def test_a_replica_keeps_nothing_and_leads_to_milvus() -> None:
    replica = SERVICES["replica"]
    store = urlsplit(replica["environment"]["HAMMINGWAY_STORE"])
    assert (store.scheme, store.hostname, store.port) == ("milvus", "milvus", 19530)
    assert replica["environment"].keys() <= {PREFIX + name.upper() for name in Settings.model_fields}
    assert Settings(store=replica["environment"]["HAMMINGWAY_STORE"]).store == store.geturl()
    assert named_volumes("replica") == {} and replica["volumes"] == ["./var/hashers:/hashers:ro"]
    assert replica["depends_on"] == {"milvus": {"condition": "service_healthy"}}
    user = re.search(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None and f"/data:uid={user[1]}" in replica["tmpfs"]


def test_a_replica_has_the_client_and_is_held_as_the_service_alone() -> None:
    replica, alone = SERVICES["replica"], SERVICES["hammingway"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras[replica["build"]["args"]["EXTRAS"]] == ["pymilvus"]
    assert re.search(r"^ARG EXTRAS=", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert replica["image"] != alone["image"]
    for name in ("restart", "stop_grace_period", "read_only", "cap_drop", "security_opt"):
        assert replica[name] == alone[name], name


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_all_others_are_pinned_watched_kept_and_out_of_reach(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD" and service["healthcheck"]["retries"] > 1
    assert service["restart"] == "unless-stopped"
    assert len(named_volumes(name)) == 1
    assert "ports" not in service and service["networks"] == ["inside"]
    assert COMPOSED["networks"]["inside"] == {"internal": True}


def test_milvus_finds_what_it_waits_for_with_the_same_secret() -> None:
    milvus, objects = SERVICES["milvus"]["environment"], SERVICES["objects"]["environment"]
    assert milvus["ETCD_ENDPOINTS"] == "etcd:2379"
    assert "--advertise-client-urls=http://etcd:2379" in SERVICES["etcd"]["command"]
    assert milvus["MINIO_ADDRESS"] == "objects:" + objects["RUSTFS_ADDRESS"].rpartition(":")[2]
    assert milvus["MINIO_ACCESS_KEY_ID"] == objects["RUSTFS_ACCESS_KEY"]
    assert milvus["MINIO_SECRET_ACCESS_KEY"] == objects["RUSTFS_SECRET_KEY"]
    waited = SERVICES["milvus"]["depends_on"]
    assert waited == {name: {"condition": "service_healthy"} for name in ("etcd", "objects")}
    assert list(named_volumes("etcd").values()) == [
        option.partition("=")[2] for option in SERVICES["etcd"]["command"] if option.startswith("--data-dir")
    ]
    assert list(named_volumes("objects").values()) == [objects["RUSTFS_VOLUMES"]]


def test_the_client_is_of_the_servers_own_release() -> None:
    client = re.search(r"^pymilvus==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    server = re.search(r":v(\d+\.\d+)", SERVICES["milvus"]["image"])
    assert client is not None and server is not None and client[1] == server[1]


def test_each_volume_is_of_one_service() -> None:
    used = [volume for name in SERVICES for volume in named_volumes(name)]
    assert sorted(used) == sorted(COMPOSED["volumes"])


def test_all_that_is_named_is_there() -> None:
    for name, service in SERVICES.items():
        assert service.keys() <= KEYS, name
        assert service.get("healthcheck", {}).keys() <= HEALTH, name
        assert set(service.get("networks", [])) <= COMPOSED["networks"].keys() | {"default"}, name
        for waited, how in service.get("depends_on", {}).items():
            # Nothing waits for the health of what has no check, or is not started along with it.
            assert how == {"condition": "service_healthy"} and "healthcheck" in SERVICES[waited], name
            assert SERVICES[waited]["profiles"] == service["profiles"], name
            assert set(SERVICES[waited]["networks"]) & set(service["networks"]), name
    periods = [service[key] for service in SERVICES.values() for key in service if key == "stop_grace_period"]
    periods += [
        check[key]
        for service in SERVICES.values()
        if (check := service.get("healthcheck"))
        for key in check
        if key in ("interval", "timeout", "start_period")
    ]
    assert periods and all(re.fullmatch(r"\d+s", period) for period in periods)


def test_health_is_asked_for_on_the_ports_that_are_served() -> None:
    milvus, objects = SERVICES["milvus"], SERVICES["objects"]
    # Milvus tells on its port for metrics, the object store on its own.
    assert milvus["healthcheck"]["test"][-1] == f"http://127.0.0.1:{OTHERS_OF_MILVUS['health']}/healthz"
    port = objects["environment"]["RUSTFS_ADDRESS"].rpartition(":")[2]
    assert objects["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}/health"
    assert milvus["environment"]["ETCD_ENDPOINTS"].endswith(f":{OTHERS_OF_MILVUS['etcd']}")
    assert urlsplit(SERVICES["replica"]["environment"]["HAMMINGWAY_STORE"]).port == PARTS["proxy"]


def test_as_many_replicas_have_a_port_as_are_spoken_of() -> None:
    (ports,) = SERVICES["replica"]["ports"]
    address, outer, inner = ports.split(":")
    first, last = map(int, outer.split("-"))
    assert (address, int(inner)) == ("127.0.0.1", Settings.model_fields["port"].default)
    for page in ("compose.yaml", "README.md", "docs/scale.md"):
        scaled = re.findall(r"--scale replica=(\d+)", (ROOT / page).read_text())
        assert all(int(number) == last - first + 1 for number in scaled), page
    said = re.search(r"on (\d+) to (\d+), each", (ROOT / "compose.yaml").read_text())
    assert said is not None and (int(said[1]), int(said[2])) == (first, last)

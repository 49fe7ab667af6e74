"""The files of the page on proxies, held against the service's own, as no container engine runs here.

Where the programs are installed, they read their files themselves, too.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings
from tests.docs.blocks import blocks
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "how-to" / "docker-behind-a-proxy.md"
FILES = {block.remarks["file"]: block.content for block in blocks(PAGE) if "file" in block.remarks}
OWN = yaml.safe_load((ROOT / "compose.yaml").read_text())
GIVEN = yaml.safe_load(FILES["compose.yaml"])
PORT = Settings.model_fields["port"].default


def _nginx(text: str) -> dict[str, list[str]]:
    """The directives of a configuration by name, blocks flattened; raises where one does not end."""
    bare = re.sub(r"#.*", "", text)
    assert bare.count("{") == bare.count("}") == 2
    found: dict[str, list[str]] = {}
    for statement in re.split(r"[{};]", bare):
        if statement.strip():
            directive, *rest = statement.split()
            found.setdefault(directive, []).append(" ".join(rest))
    # All but the two blocks end with a semicolon.
    assert sum(map(len, found.values())) == bare.count(";") + 2
    return found


def test_the_service_is_held_as_in_the_repositorys_own_file() -> None:
    own, given = OWN["services"]["hammingway"], GIVEN["services"]["hammingway"]
    for name in ("image", "build", "restart", "stop_grace_period", "read_only", "tmpfs", "cap_drop", "security_opt"):
        assert given[name] == own[name], name
    assert [each for each in given["volumes"] if each in own["volumes"]] == own["volumes"]
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert {name for name in given["environment"] if name.startswith(PREFIX)} <= known


def test_nobody_reaches_it_but_the_proxy_and_it_asks_for_keys() -> None:
    service = GIVEN["services"]["hammingway"]
    assert "ports" not in service
    assert service["environment"]["HAMMINGWAY_ALLOW_OPEN"] == "false"
    mounted = dict(volume.split(":")[:2][::-1] for volume in service["volumes"])
    assert mounted[service["environment"]["HAMMINGWAY_KEYS"]] == "./keys"


def test_its_volumes_and_services_are_there() -> None:
    named = {
        volume.split(":")[0]
        for service in GIVEN["services"].values()
        for volume in service["volumes"]
        if not volume.startswith(".")
    }
    assert named == set(GIVEN["volumes"])
    assert GIVEN["services"]["proxy"]["depends_on"].keys() <= GIVEN["services"].keys()
    # `service_healthy` needs the image to say what healthy is.
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    assert "./Caddyfile:/etc/caddy/Caddyfile:ro" in GIVEN["services"]["proxy"]["volumes"]


def test_caddy_leads_to_the_service() -> None:
    upstream = re.search(r"reverse_proxy (\w+):(\d+)", FILES["Caddyfile"])
    assert upstream is not None and upstream[1] in GIVEN["services"] and int(upstream[2]) == PORT
    assert "flush_interval -1" in FILES["Caddyfile"]
    assert FILES["Caddyfile"].count("{") == FILES["Caddyfile"].count("}") == 2


def test_nginx_leads_to_the_service_and_neither_buffers_nor_bounds() -> None:
    found = _nginx(FILES["hammingway.conf"])
    assert found["proxy_pass"] == [f"http://127.0.0.1:{PORT}"]
    assert found["proxy_request_buffering"] == found["proxy_buffering"] == ["off"]
    assert found["client_max_body_size"] == ["0"]
    assert "X-Forwarded-For $remote_addr" in found["proxy_set_header"]
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        hours = re.fullmatch(r"(\d+)h", found[name][0])
        assert hours is not None and int(hours[1]) * 3600 > Settings.model_fields["max_seconds"].default


def test_the_commands_name_what_is_there() -> None:
    commands = "".join(block.content for block in blocks(PAGE) if "not run" in block.remarks)
    assert "hammingway:/data/snapshots" in commands and "hammingway" in GIVEN["services"]
    assert "cp hammingway.conf" in commands
    assert "https://hammingway.example.org/readyz" in commands and "hammingway.example.org" in FILES["Caddyfile"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def _run(folder: Path, *command: Any) -> None:
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_programs_that_are_installed_take_their_files(folder: Path) -> None:
    # Each reads its own; on a machine without them, the tests above are what there is.
    if shutil.which("caddy"):
        _run(folder, "caddy", "adapt", "--config", "Caddyfile", "--adapter", "caddyfile")
    if shutil.which("nginx") and shutil.which("openssl"):
        subject = ("-subj", "/CN=hammingway.example.org")
        request = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "a.key", "-out", "a.pem", *subject)
        _run(folder, "openssl", *request)
        conf = (
            FILES["hammingway.conf"]
            .replace("/etc/ssl/hammingway.pem", "a.pem")
            .replace("/etc/ssl/hammingway.key", "a.key")
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        own = "\n".join(f"{kind}_temp_path {kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"pid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{own}\n{conf}\n}}\n"
        )
        _run(folder, "nginx", "-t", "-p", folder, "-c", folder / "nginx.conf")

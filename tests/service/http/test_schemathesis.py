"""Schemathesis over the whole API document: whatever is sent, nothing breaks and every reply is as the document says.

All its checks and phases; what they are told is in `fuzzing/schemathesis.toml`, with the reasons. `--long` sends some
fifty times as much; `--seed` draws again what failed.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.keys import Role, line, new_key
from service.settings import Settings
from tests.serving import running

FOLDER = Path(__file__).parent / "fuzzing"
FEW, MANY = 2, 200


def _run(url: str, examples: int, seed: int, *options: str, keys: Mapping[Role, str], role: Role | None) -> str:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", "schemathesis.toml"),
        *("run", f"{url}/openapi.json", "--checks", "all", "--continue-on-failure", "--no-shrink"),
        # A busy machine is slow, which is nobody's mistake.
        *("--suppress-health-check", "all", "--generation-database", "none"),
        *("--max-examples", str(examples), "--seed", str(seed), *options),
    ]
    environment = os.environ | {
        "FUZZED": url,
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": ".",
    }
    if role is not None:
        # What is fuzzed with may not be allowed to put back what there was at first.
        environment["FUZZED_WITH"] = keys[Role.ADMIN]
        command += ["--header", f"Authorization: Bearer {keys[role]}"]
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout[-20_000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("role", [None, *Role], ids=["open", *map(str, Role)])
def test_the_service_does_as_its_document_says(
    request: pytest.FixtureRequest, hashers: Path, tmp_path: Path, role: Role | None
) -> None:
    long = request.config.getoption("--long")
    given = request.config.getoption("--seed")
    seed = secrets.randbelow(2**32) if long and given is None else given or 0
    keys = {each: new_key() for each in Role}
    setting = None if role is None else ",".join(line(each, key) for each, key in keys.items())
    # What the keys change does not depend on what else is sent.
    options = ["--phases", "examples,fuzzing"] if role is not None and not long else []
    with running(Settings(hashers=hashers, data=tmp_path, keys=setting)) as client:
        operations = sum(map(len, client.get("/openapi.json").json()["paths"].values()))
        told = _run(str(client.base_url).rstrip("/"), MANY if long else FEW, seed, *options, keys=keys, role=role)
    print(told)
    # Nothing was passed over, whether or not it was found to be as it should.
    selected, tested = (
        int(told.partition(f"{name}:")[2].split()[0].partition("/")[0]) for name in ("Selected", "Tested")
    )
    assert selected == tested == operations

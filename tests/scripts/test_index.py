"""Collections as `scripts.index` creates them."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three vectors."""
    path = tmp_path_factory.mktemp("made") / "vectors.ndjson"
    rows = np.random.default_rng(0).standard_normal((3, 12)).tolist()
    path.write_text("".join(json.dumps({"id": f"v{n}", "vector": row}) + "\n" for n, row in enumerate(rows)))
    return path


def _index(client: httpx.Client, data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.index", str(data), "--url", str(client.base_url), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_collection_with_all_settings(client: httpx.Client, data: Path) -> None:
    settings = ["--keep-documents", "--keep-features", "int8", "--index", "ivf", "--lists", "16", "--probes", "4"]
    options = ["--collection", "whole", "--hasher", "vectors", *settings]
    for _ in range(2):
        done = _index(client, data, *options)
        assert (done.returncode, done.stdout.strip()) == (0, "3 items indexed in 'whole', coded by vectors@1"), done
    told = client.get("/v1/collections/whole").json()
    assert told == {
        "name": "whole", "bits": 64, "hasher": "vectors@1", "count": 3, "keep_features": "int8", "keep_documents": True,
        "index": {"kind": "ivf", "lists": 16, "probes": 4},
    }  # fmt: skip
    # What it is there without is no reason to refuse it, what it is there with otherwise is.
    assert _index(client, data, "--collection", "whole", "--hasher", "vectors").returncode == 0
    done = _index(client, data, "--collection", "whole", "--hasher", "vectors", "--keep-features", "float16")
    assert done.returncode == 1 and "expected the settings of 'whole', which is there already" in done.stderr


def test_a_collection_whose_index_goes_by_its_size(client: httpx.Client, data: Path) -> None:
    assert _index(client, data, "--collection", "sized", "--hasher", "vectors", "--above", "5000").returncode == 0
    assert client.get("/v1/collections/sized").json()["index"] == {"kind": "auto", "above": 5000}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--keep-documents"], "expected --hasher or --bits with --keep-documents, to create the collection with"),
        (["--lists", "4"], "expected --hasher or --bits with --index, to create the collection with, got neither"),
        (["--bits", "16", "--keep-documents"], "keep_documents: expected a hasher that codes the documents, got none"),
        (["--hasher", "vectors", "--index", "flat", "--probes", "2"], "expected lists and probes only with kind ivf"),
        (["--hasher", "vectors", "--lists", "2", "--probes", "3"], "expected at most as many as lists (2), got 3"),
    ],
)
def test_settings_that_cannot_be(client: httpx.Client, data: Path, options: list[str], told: str) -> None:
    done = _index(client, data, "--collection", "none", *options)
    assert done.returncode == 1 and told in done.stderr, done.stderr
    assert client.get("/v1/collections/none").status_code == 404

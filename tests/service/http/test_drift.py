"""Drift over HTTP: the latest items of a collection, with features kept and without."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.evaluation.fingerprint import take_fingerprint
from models.folder import read_folder, write_folder
from models.hasher import DECODER, ENCODER, Hasher
from models.itq import fit_pca_sign, principal_directions
from models.training.candidates import as_network
from models.training.config import Config
from models.training.export import export_decoder, export_encoder
from service.settings import Settings
from tests.conftest import DIMENSION
from tests.serving import running


def fill(client: httpx.Client, name: str, rows: np.ndarray, first: str = "a", **settings: Any) -> None:
    client.put(f"/v1/collections/{name}", json={"hasher": "vectors", **settings}).raise_for_status()
    items = [{"id": f"{first}{n}", "vector": row} for n, row in enumerate(rows.tolist())]
    client.post(f"/v1/collections/{name}/index", json={"items": items}).raise_for_status()


def normal(seed: int, items: int = 300) -> np.ndarray:
    return np.random.default_rng((6, seed)).standard_normal((items, DIMENSION))


def told(client: httpx.Client, name: str, **query: Any) -> dict[str, Any]:
    reply = client.get(f"/v1/collections/{name}/drift", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_no_false_alarm_in_twenty(client: httpx.Client) -> None:
    for seed in range(20):
        keep = ("none", "float16", "int8")[seed % 3]
        fill(client, f"same-{seed}", normal(seed), keep_features=keep)
        found = told(client, f"same-{seed}")
        assert (found["verdict"], found["drifting"]) == ("as in training", False), found
        assert (found["hasher"], found["items"]) == ("vectors@1", 300)
        assert (found["errors"] is None) == (keep == "none")


def test_the_latest_items_decide(client: httpx.Client) -> None:
    fill(client, "turning", normal(30), keep_features="float16")
    fill(client, "turning", normal(31) + 1, first="b", keep_features="float16")
    found = told(client, "turning", items=300)
    assert found["drifting"] and found["items"] == 300
    assert found["verdict"].startswith(f"drifting: {found['bits']['drifted']} of 64 bits are set more or less often")
    # Deleted, they are not among the latest.
    ids = [f"b{n}" for n in range(300)]
    client.post("/v1/collections/turning/delete", json={"ids": ids}).raise_for_status()
    assert told(client, "turning", items=300)["verdict"] == "as in training"


def write_linear(hashers: Path, folder: Path) -> None:
    """Write `linear@1`: signs of principal components, none of which changes when all numbers grow alike."""
    card, files = read_folder(hashers / "vectors@1")
    rows = normal(41, 2000).astype(np.float32)
    principal = principal_directions(rows)
    trained = as_network(fit_pca_sign(rows, 8, principal), rows, principal, Config(8))
    made = {ENCODER: export_encoder, DECODER: export_decoder}
    graphs = {name: export(trained.network, trained.projection) for name, export in made.items()}
    card = {name: value for name, value in card.items() if name not in ("files", "format", "sha256", "fingerprint")}
    card |= {"name": "linear", "version": 1, "bits": 8}
    write_folder(folder / "linear@1", card, files | graphs)
    hasher = Hasher.load(folder / "linear@1")
    shutil.rmtree(folder / "linear@1")
    write_folder(folder / "linear@1", card | {"fingerprint": asdict(take_fingerprint(hasher, rows))}, files | graphs)


def test_reconstruction_tells_what_bits_do_not(hashers: Path, tmp_path: Path) -> None:
    write_linear(hashers, tmp_path / "hashers")
    with running(Settings(hashers=tmp_path / "hashers", data=tmp_path / "data")) as client:
        for keep, verdict in (
            ("none", "as in training"),
            ("float16", "drifting: items lose more in reconstruction"),
            ("int8", "drifting"),
        ):
            fill(client, f"wider-{keep}", normal(40) * 4, keep_features=keep, hasher="linear")
            found = told(client, f"wider-{keep}")
            assert found["verdict"].startswith(verdict)
            assert (found["error_ratio"] or 9) > 5


def test_what_cannot_be_told(client: httpx.Client) -> None:
    fill(client, "few", normal(50)[:49])
    assert told(client, "few") == {
        "hasher": "vectors@1", "items": 49, "verdict": "too few items to tell: 49, expected at least 50",
        "drifting": None, "bits": None, "errors": None, "error_ratio": None,
    }  # fmt: skip
    client.put("/v1/collections/own", json={"bits": 64}).raise_for_status()
    found = told(client, "own")
    assert (found["drifting"], found["hasher"], found["items"]) == (None, None, 0)
    assert found["verdict"].startswith("cannot tell: the items bring their own codes")


@pytest.mark.parametrize("items", ["0", "-1", "100001", "many"])
def test_bad_input(client: httpx.Client, items: str) -> None:
    reply = client.get("/v1/collections/few/drift", params={"items": items})
    assert (reply.status_code, reply.json()["title"]) == (422, "Invalid input")
    assert "items: expected" in reply.json()["detail"]
    assert client.get("/v1/collections/nowhere/drift").status_code == 404


def test_hashers_without_a_fingerprint_and_without_a_folder(hashers: Path, tmp_path: Path) -> None:
    card, files = read_folder(hashers / "vectors@1")
    old = {key: value for key, value in card.items() if key not in ("fingerprint", "files", "format", "sha256")}
    write_folder(tmp_path / "hashers" / "vectors@1", old, files)
    settings = Settings(hashers=tmp_path / "hashers", data=tmp_path / "data")
    with running(settings) as client:
        fill(client, "old", normal(60))
        found = told(client, "old")
        assert (found["drifting"], found["items"]) == (None, 300)
        assert found["verdict"].startswith("cannot tell: the hasher has no fingerprint of its training")
    shutil.rmtree(tmp_path / "hashers" / "vectors@1")
    with running(settings) as client:
        reply = client.get("/v1/collections/old/drift")
        assert (reply.status_code, reply.json()["title"]) == (503, "Missing hasher")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"share_of_ones": [0.5] * 63}, "64 of share_of_ones, got 63"),
        ({"errors": [1.0], "above": [0.5]}, "4 of errors, got 1, 4 of above, got 1"),
        ({"items": 0}, "items above 0, got 0"),
        ({"mean_error": None}, "is none: "),
        ({"share_of_ones": "half"}, "is none: "),
        ({"more": 1}, "is none: "),
    ],
)
def test_a_fingerprint_that_does_not_fit(hashers: Path, tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    card, files = read_folder(hashers / "vectors@1")
    other = {key: value for key, value in card.items() if key not in ("files", "format", "sha256")}
    write_folder(tmp_path / "hashers" / "vectors@1", other | {"fingerprint": card["fingerprint"] | changed}, files)
    with running(Settings(hashers=tmp_path / "hashers", data=tmp_path / "data")) as client:
        fill(client, "odd", normal(70), keep_features="int8")
        reply = client.get("/v1/collections/odd/drift")
        assert (reply.status_code, reply.json()["title"]) == (503, "Damaged hasher")
        assert reply.json()["detail"].startswith("expected the card of vectors@1 to hold a fingerprint of its training")
        assert told in reply.json()["detail"]
        # What does not need it goes on.
        assert len(client.post("/v1/collections/odd/search", json={"query": {"id": "a0"}}).json()["results"]) == 10

"""The whole path as users walk it: train, encode in a batch, serve, index, search; restarts, kills."""

import base64
import io
import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from models.codes import hamming
from models.hasher import Hasher
from scripts.datasets import Dataset, open_dataset
from tests.serving import Process, client_of

MODALITIES = {"digits": "digits", "pydocs": "pydocs", "vectors": "vectors.npz"}
QUERIES = [{"id": "digit-0007"}, {"code": "0123456789abcdef"}]


def _run(*arguments: object) -> str:
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _data(hashers: Path, name: str) -> str:
    return str(hashers / MODALITIES[name]) if name == "vectors" else name


def _in_json(dataset: Dataset, limit: int) -> list[dict[str, object]]:
    """Documents as a client would write them, by other code than the script's."""
    documents: list[dict[str, object]] = []
    for item, _ in zip(dataset.walk(), range(limit), strict=False):
        document = item.document
        if dataset.modality == "image":
            png = io.BytesIO()
            Image.fromarray(np.asarray(document)).save(png, "PNG")
            documents.append({"image": base64.b64encode(png.getvalue()).decode()})
        else:
            documents.append({dataset.modality: document.tolist() if isinstance(document, np.ndarray) else document})
    return documents


@pytest.mark.parametrize("name", MODALITIES)
def test_codes_are_the_same_bytes_from_batch_script_service_and_hasher(
    hashers: Path, tmp_path: Path, name: str
) -> None:
    _run("scripts.encode", hashers / name, _data(hashers, name), "--out", tmp_path / "codes.npy")
    batch = np.load(tmp_path / "codes.npy")
    dataset = open_dataset(_data(hashers, name))
    documents = [item.document for item in dataset.walk()]
    hasher = Hasher.load(hashers / f"{name}@1")
    # One by one, as training's table was made from all at once: a code does not depend on its batch.
    alone = np.concatenate([hasher.encode([document]) for document in documents[:200]])
    assert np.array_equal(batch[:200], alone)
    serving = Process(hashers, tmp_path / "data")
    options = ("--url", serving.url, "--collection", name, "--hasher", name)
    _run("scripts.index", _data(hashers, name), *options)
    inputs = _in_json(dataset, 300)
    codes = serving.client.post("/v1/encode", json={"hasher": name, "inputs": inputs}).json()["codes"]
    assert codes == [code.tobytes().hex() for code in batch[:300]]
    query = inputs[17]
    found = serving.client.post(f"/v1/collections/{name}/search", json={"query": query, "limit": 20}).json()
    ids = [item.id for item in dataset.walk()]
    expected = sorted(zip(hamming(batch[17:18], batch)[0].tolist(), ids, strict=True))[:20]
    assert [(match["distance"], match["id"]) for match in found["results"]] == expected
    serving.stop()


def _answers(client: httpx.Client) -> list[object]:
    path = "/v1/collections/digits/search"
    return [client.post(path, json={"query": query, "limit": 100}).json() for query in QUERIES]


def test_a_restart_and_a_kill_give_the_same_answers(hashers: Path, tmp_path: Path) -> None:
    serving = Process(hashers, tmp_path / "data")
    _run("scripts.index", "digits", "--url", serving.url, "--collection", "digits", "--hasher", "digits")
    before = _answers(serving.client)
    assert all(answer["results"] for answer in before if isinstance(answer, dict))
    serving.stop()
    serving = Process(hashers, tmp_path / "data")
    assert _answers(serving.client) == before
    serving.kill()
    serving = Process(hashers, tmp_path / "data")
    assert _answers(serving.client) == before
    # The script may be run again: every id is replaced, nothing doubled.
    _run("scripts.index", "digits", "--url", serving.url, "--collection", "digits", "--hasher", "digits")
    assert _answers(serving.client) == before
    assert serving.client.get("/v1/collections/digits").json()["count"] == 1797
    serving.stop()


@dataclass
class Acknowledged:
    """What replies said is indexed, id -> code; `enough` is set when there were as many replies as were waited for."""

    codes: dict[str, str] = field(default_factory=dict)
    replies: int = 0
    wanted: int = 0
    enough: threading.Event = field(default_factory=threading.Event)


def _write_until_cut_off(url: str, prefix: str, headers: dict[str, str], acknowledged: Acknowledged) -> None:
    with client_of(url, timeout=30) as client:
        for number in range(10_000):
            items = [{"id": f"{prefix}-{number}-{part}", "code": f"{number * 3 + part:08x}"} for part in range(3)]
            body = "\n".join(map(json.dumps, items)) if headers else json.dumps({"items": items})
            try:
                reply = client.post("/v1/collections/c/index", content=body, headers=headers)
            except httpx.TransportError:
                return
            assert reply.json()["indexed"] == 3
            acknowledged.codes.update({item["id"]: item["code"] for item in items})
            acknowledged.replies += 1
            if acknowledged.replies >= acknowledged.wanted:
                acknowledged.enough.set()


def test_sigkill_right_after_a_reply_loses_nothing_of_it(hashers: Path, tmp_path: Path) -> None:
    """Two writers, JSON and NDJSON, cut off between any two replies: all that was acknowledged is there."""
    acknowledged = Acknowledged()
    serving = Process(hashers, tmp_path / "data")
    serving.client.put("/v1/collections/c", json={"bits": 32})
    for attempt in range(1, 5):
        acknowledged.wanted = acknowledged.replies + 30 + 17 * attempt
        acknowledged.enough.clear()
        threads = [
            threading.Thread(
                target=_write_until_cut_off, args=(serving.url, f"{attempt}-{len(headers)}", headers, acknowledged)
            )
            for headers in ({}, {"Content-Type": "application/x-ndjson"})
        ]
        for thread in threads:
            thread.start()
        assert acknowledged.enough.wait(30)
        serving.kill()
        for thread in threads:
            thread.join()
        serving = Process(hashers, tmp_path / "data")
        for item_id, code in acknowledged.codes.items():
            assert serving.client.get(f"/v1/collections/c/items/{item_id}").json()["code"] == code
        query = {"query": {"code": "00000000"}, "limit": 10_000}
        found = serving.client.post("/v1/collections/c/search", json=query).json()["results"]
        assert set(acknowledged.codes) <= {match["id"] for match in found}
        # At most the write that was under way of each writer, and then the whole of it.
        assert len(found) - len(acknowledged.codes) in [3 * extra for extra in range(2 * attempt + 1)]
    serving.stop()


def test_serving_writes_nothing_outside_its_data_folder(hashers: Path, tmp_path: Path) -> None:
    """Nor does a library that it runs: what is noted of its use in a home directory is meant to be sent somewhere."""
    home = tmp_path / "home"
    home.mkdir()
    serving = Process(hashers, tmp_path / "data", environment={"HOME": str(home)})
    encoded = serving.client.post("/v1/encode", json={"hasher": "vectors", "inputs": [{"vector": [0.5] * 12}]})
    assert encoded.is_success
    serving.stop()
    assert list(home.rglob("*")) == []

"""What `stats` tells of codes, against plain NumPy over all items."""

import math
from typing import Any

import httpx
import numpy as np
import pytest

from models.codes import Codes, hamming, unpack
from service.index import health


def fill(client: httpx.Client, name: str, codes: Codes) -> None:
    client.put(f"/v1/collections/{name}", json={"bits": codes.shape[1] * 8}).raise_for_status()
    items = [{"id": str(n), "code": bytes(code).hex()} for n, code in enumerate(codes)]
    client.post(f"/v1/collections/{name}/index", json={"items": items}).raise_for_status()


def told(client: httpx.Client, name: str) -> Any:
    reply = client.get(f"/v1/collections/{name}/stats", params={"codes": "true"})
    assert reply.status_code == 200, reply.text
    return reply.json()["codes"]


@pytest.mark.parametrize("width", [1, 3, 8, 16])
def test_they_agree_with_numpy(client: httpx.Client, width: int) -> None:
    rng = np.random.default_rng(width)
    # Bit 1 mostly set, bit 2 never, bit 3 nearly always as bit 4; every code twice.
    bits = rng.random((90, width * 8)) < 0.5
    bits[:, 1], bits[:, 2], bits[:, 3] = rng.random(90) < 0.9, False, bits[:, 4] ^ (rng.random(90) < 0.05)
    codes = np.packbits(np.concatenate([bits, bits]), axis=1, bitorder="little")
    fill(client, f"codes-{width}", np.concatenate([codes, codes[:20] ^ 0xFF]))
    client.post(f"/v1/collections/codes-{width}/delete", json={"ids": [str(n) for n in range(180, 200)]})
    found = told(client, f"codes-{width}")
    ones = unpack(codes).astype(float)
    share = ones.mean(axis=0)
    assert found["share_of_ones"] == pytest.approx(share, abs=1e-4)
    entropy = [0 if p in (0, 1) else -p * np.log2(p) - (1 - p) * np.log2(1 - p) for p in share]
    assert found["entropy"] == pytest.approx(entropy, abs=1e-4)
    assert all(math.copysign(1, value) == 1 for value in found["entropy"])
    assert found["mean_entropy"] == pytest.approx(np.mean(entropy), abs=1e-4)
    assert found["distinct"] == len({bytes(code) for code in codes})
    live = np.flatnonzero(share > 0)
    correlation = np.zeros((width * 8, width * 8))
    correlation[np.ix_(live, live)] = np.abs(np.corrcoef(ones[:, live].T))
    above = correlation[np.triu_indices(width * 8, 1)]
    assert found["correlation"]["bits"] == [3, 4]
    assert found["correlation"]["largest"] == pytest.approx(above.max())
    assert found["correlation"]["mean"] == pytest.approx(above.mean())
    assert found["correlation"]["sample"] == 180
    # All are in the sample, and each has its double.
    assert found["nearest"] == {"counts": [180] + [0] * width * 8, "sample": 180}
    pairs = np.array(found["pairs"]["counts"])
    assert (len(pairs), pairs.sum(), found["pairs"]["sample"]) == (width * 8 + 1, health.PAIRS, health.PAIRS)
    true = np.bincount(hamming(codes, codes)[~np.eye(180, dtype=bool)], minlength=width * 8 + 1)
    assert pairs / pairs.sum() == pytest.approx(true / true.sum(), abs=0.01)


def test_samples_say_so_and_are_right(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CORRELATED", 100)
    monkeypatch.setattr(health, "NEIGHBOURS_OF", 50)
    codes = np.random.default_rng(0).integers(0, 256, (400, 2), np.uint8)
    fill(client, "sampled", codes)
    found = told(client, "sampled")
    assert (found["correlation"]["sample"], found["nearest"]["sample"]) == (100, 50)
    chosen = np.array(found["nearest"]["counts"])
    apart = hamming(codes, codes) + 99 * np.eye(400, dtype=np.int32)
    every = np.bincount(apart.min(axis=1), minlength=17)
    assert chosen.sum() == 50 and np.all(chosen <= every)


def test_few_items(client: httpx.Client) -> None:
    fill(client, "none", np.zeros((1, 2), np.uint8))
    nothing = {"correlation": None, "pairs": None, "nearest": None}
    zeros = {"share_of_ones": [0.0] * 16, "entropy": [0.0] * 16, "mean_entropy": 0.0}
    assert told(client, "none") == {**zeros, **nothing, "distinct": 1}
    client.delete("/v1/collections/none/items/0").raise_for_status()
    assert told(client, "none") is None
    assert "codes" not in client.get("/v1/collections/none/stats").json()
    assert client.get("/v1/collections/none/stats", params={"codes": "perhaps"}).status_code == 422
    assert client.get("/v1/collections/nowhere/stats", params={"codes": "true"}).status_code == 404

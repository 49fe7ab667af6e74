import base64
from pathlib import Path

import httpx
import numpy as np

from models.codes import unpack
from models.hasher import Hasher

TEXTS = ["sort a list", "run something later", "a" * 999]


def test_formats_are_one_code_written_three_ways(client: httpx.Client, hashers: Path) -> None:
    hasher = Hasher.load(hashers / "pydocs@1")
    codes = hasher.encode(TEXTS)
    expected = {
        "hex": [code.tobytes().hex() for code in codes],
        "base64": [base64.b64encode(code.tobytes()).decode() for code in codes],
        "bits": ["".join(str(bit) for bit in row) for row in unpack(codes).tolist()],
    }
    for form, written in expected.items():
        body = {"hasher": "pydocs", "inputs": [{"text": text} for text in TEXTS], "format": form}
        assert client.post("/v1/encode", json=body).json() == {"hasher": "pydocs@1", "bits": 64, "codes": written}


def test_logits_are_the_encoders_float32_digit_for_digit(client: httpx.Client, hashers: Path) -> None:
    hasher = Hasher.load(hashers / "pydocs@1")
    body = {"hasher": "pydocs@1", "inputs": [{"text": text} for text in TEXTS], "logits": True}
    reply = client.post("/v1/encode", json=body).json()
    assert np.array_equal(np.array(reply["logits"], np.float32), hasher.logits(hasher.rows(TEXTS)))


def test_a_card_is_the_card_of_the_folder(client: httpx.Client, hashers: Path) -> None:
    card = Hasher.load(hashers / "digits@1").card
    assert client.get("/v1/models/digits").json() == card
    assert client.get("/v1/models/digits@1").json() == card
    listed = client.get("/v1/models").json()["models"]
    assert [entry["reference"] for entry in listed] == ["digits@1", "pydocs@1", "vectors@1"]
    assert all(entry["served"] and entry["bits"] == 64 for entry in listed)

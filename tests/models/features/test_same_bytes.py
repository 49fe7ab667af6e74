"""A document's code is the same to the byte in training, batch and service, alone and among many, on any threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from models.codes import pack
from models.features import EXTRACTORS, Features
from models.features.encoder_folder import open_encoder
from models.features.ngrams import NgramFeatures
from models.features.normalisation import Normalisation
from models.features.pixels import PixelFeatures
from models.features.static import StaticFeatures
from models.features.vector import VectorFeatures
from models.hasher import Hasher
from scripts.datasets import open_dataset
from scripts.documents import in_json
from scripts.rows import batches
from service.settings import Settings
from tests.encoders import WORDS, text_graph, write_hasher, write_image_encoder, write_text_encoder
from tests.serving import running

NUMBER, SERVED = 10_000, 2000
DRAW = np.random.default_rng(5)
VECTORS = DRAW.standard_normal((NUMBER, 12)).astype(np.float32)
IMAGES = DRAW.integers(0, 256, (NUMBER, 6, 5, 3), dtype=np.uint8)
TEXTS = [" ".join(DRAW.choice(WORDS[4:], size)) for size in DRAW.integers(1, 25, NUMBER)]

MADE: dict[str, Callable[[Path], Features]] = {
    "vector": lambda _: VectorFeatures(12, "unit"),
    "pixels": lambda _: PixelFeatures(4, 4, "RGB"),
    "static": lambda _: StaticFeatures.pretrained(Normalisation()),
    "ngrams": lambda _: NgramFeatures(),
    "text encoder": lambda folder: open_encoder(write_text_encoder(folder / "encoder")),
    "dynamic text encoder": lambda folder: open_encoder(write_text_encoder(folder / "encoder", text_graph("dynamic"))),
    "image encoder": lambda folder: open_encoder(write_image_encoder(folder / "encoder")),
}


def test_every_extractor_is_tried(tmp_path: Path) -> None:
    tried = {type(make(tmp_path / name)) for name, make in MADE.items()}
    assert tried == set(EXTRACTORS)


@pytest.mark.parametrize("name", MADE)
def test_codes_are_the_same_wherever_they_are_made(tmp_path: Path, name: str) -> None:
    features = MADE[name](tmp_path)
    folder = write_hasher(tmp_path / "hashers", "made", features)
    hasher = Hasher.load(folder)
    documents: list[Any] = {"vector": list(VECTORS), "image": list(IMAGES), "text": TEXTS}[features.modality]
    told = [in_json(document) for document in documents]
    data = tmp_path / "data.ndjson"
    data.write_bytes(b"\n".join(orjson.dumps({"id": str(n), features.modality: each}) for n, each in enumerate(told)))
    codes = hasher.encode(documents)

    # What training reads, on three threads.
    read = np.concatenate([rows for rows, _ in batches(open_dataset(str(data)), features, threads=3)])
    assert np.array_equal(pack(hasher.logits(read)), codes)
    # Alone, and on other numbers of threads.
    for place in range(0, NUMBER, 501):
        assert np.array_equal(hasher.encode([documents[place]])[0], codes[place])
    with ThreadPoolExecutor(3) as threads:
        parts = threads.map(hasher.encode, [documents[start : start + 300] for start in range(0, SERVED, 300)])
        assert np.array_equal(np.concatenate(list(parts))[:SERVED], codes[:SERVED])
    # The service: many items in NDJSON, on one thread and on four; and each by itself, as a query.
    for count in (1, 4):
        settings = Settings(hashers=folder.parent, data=tmp_path / f"data{count}", threads=count)
        with running(settings) as client:
            client.put("/v1/collections/c", json={"hasher": "made"}).raise_for_status()
            kind = {"Content-Type": "application/x-ndjson"}
            lines = b"\n".join(data.read_bytes().splitlines()[:SERVED])
            reply = client.post("/v1/collections/c/index", content=lines, headers=kind)
            assert reply.json() == {"indexed": SERVED, "rejected": []}
            for place in range(0, SERVED, 401):
                item = client.get(f"/v1/collections/c/items/{place}", params={"with": "code"}).json()
                assert bytes.fromhex(item["code"]) == codes[place].tobytes()
                body = {"hasher": "made", "inputs": [{features.modality: told[place]}]}
                assert client.post("/v1/encode", json=body).json()["codes"] == [codes[place].tobytes().hex()]
                query = {"query": {features.modality: told[place]}, "limit": 1, "max_distance": 0}
                assert client.post("/v1/collections/c/search", json=query).json()["results"], place

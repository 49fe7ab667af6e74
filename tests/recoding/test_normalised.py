"""A collection is moved to normalised text by a re-encoding from the documents that it keeps."""

import json
import time
from pathlib import Path

import pytest

from models.features.normalisation import Normalisation
from models.features.static import StaticFeatures
from models.folder import CARD, _render
from models.hasher import Hasher
from service.settings import Settings
from tests.encoders import write_hasher
from tests.serving import running

TEXTS = ("Delete a directory tree", "Open a file for reading", "Return the square root of x", "Close the connection")
VARIANTS = (
    "delete  a\u00a0directory\ttree",
    "OPEN A FILE FOR READING",
    "Return the \u200bsquare root of x ",
    "Close the conne\u00adction",
)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """`texts@1` as the first release wrote it, and `texts@2` with normalisation; both with the same network."""
    hashers = tmp_path / "hashers"
    old = write_hasher(hashers, "texts", StaticFeatures.pretrained())
    card = json.loads((old / CARD).read_text())
    del card["sha256"], card["features"]["extractor"]
    (old / CARD).write_bytes(_render({**card, "format": 1}))
    new = write_hasher(tmp_path / "new", "texts", StaticFeatures.pretrained(Normalisation()), version=2)
    new.rename(hashers / "texts@2")
    return hashers


def test_a_hasher_of_the_first_release_is_loaded_and_takes_texts_as_they_are(served: Path) -> None:
    old, new = Hasher.load(served / "texts@1"), Hasher.load(served / "texts@2")
    assert old.card["features"] == {"modality": "text", "dimension": 256}
    assert (old.encode(TEXTS) != old.encode(VARIANTS)).any(axis=1).all()
    assert (new.encode(TEXTS) == new.encode(VARIANTS)).all()


def test_after_a_re_encoding_texts_that_look_alike_are_at_distance_0(served: Path, tmp_path: Path) -> None:
    with running(Settings(hashers=served, data=tmp_path / "data")) as client:
        body = {"hasher": "texts@1", "keep_documents": True}
        client.put("/v1/collections/docs", json=body).raise_for_status()
        items = [{"id": f"t{number}", "text": text} for number, text in enumerate(TEXTS)]
        client.post("/v1/collections/docs/index", json={"items": items}).raise_for_status()
        queries = {"queries": [{"text": text} for text in VARIANTS], "limit": 1}

        def distances() -> list[int]:
            found = client.post("/v1/collections/docs/search", json=queries).json()["results"]
            return [each[0]["distance"] for each in found]

        assert min(distances()) > 0
        client.post("/v1/collections/docs/recode", json={"hasher": "texts@2"}).raise_for_status()
        for _ in range(200):
            if client.get("/v1/collections/docs/recode").json()["stage"] == "switched":
                break
            time.sleep(0.1)
        found = client.post("/v1/collections/docs/search", json=queries).json()
        assert found["hasher"] == "texts@2"
        assert [(each[0]["id"], each[0]["distance"]) for each in found["results"]] == [(f"t{n}", 0) for n in range(4)]

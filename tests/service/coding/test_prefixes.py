"""A text encoder's prefixes: the query's before what is searched for, the document's before what is indexed."""

from pathlib import Path

from models.codes import hamming
from models.features.encoder_folder import open_encoder
from models.hasher import Hasher
from service.settings import Settings
from tests.encoders import write_hasher, write_text_encoder
from tests.serving import running

PROMPTS = {"prompts": {"query": "query: ", "passage": "passage: "}}
TEXTS = ["word1 word2 word3", "word7", "word9 word10"]


def test_searches_put_the_query_s_prefix_and_writes_the_document_s(tmp_path: Path) -> None:
    encoder = open_encoder(write_text_encoder(tmp_path / "encoder", config_sentence_transformers=PROMPTS))
    hasher = Hasher.load(write_hasher(tmp_path / "hashers", "made", encoder))
    documents, queries = hasher.encode(TEXTS), hasher.encode(TEXTS, query=True)
    distances = [int(hamming(one[None], other[None])[0, 0]) for one, other in zip(documents, queries, strict=True)]
    assert min(distances) > 0
    with running(Settings(hashers=tmp_path / "hashers", data=tmp_path / "data")) as client:
        client.put("/v1/collections/c", json={"hasher": "made", "keep_documents": True}).raise_for_status()
        items = [{"id": str(place), "text": text} for place, text in enumerate(TEXTS)]
        client.post("/v1/collections/c/index", json={"items": items}).raise_for_status()
        for place, text in enumerate(TEXTS):
            item = client.get(f"/v1/collections/c/items/{place}", params={"with": "code"}).json()
            assert item["code"] == documents[place].tobytes().hex()
            coded = client.post("/v1/encode", json={"hasher": "made", "inputs": [{"text": text}]}).json()
            assert coded["codes"] == [documents[place].tobytes().hex()]
            for rank in ("hamming", "asymmetric"):
                body = {"query": {"text": text}, "limit": 3, "rank": rank}
                found = client.post("/v1/collections/c/search", json=body).json()["results"]
                assert {each["id"]: each["distance"] for each in found}[str(place)] == distances[place]

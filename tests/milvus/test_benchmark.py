"""The benchmark's comparison of stores against a Milvus that it starts itself: every answer is verified by it."""

from pathlib import Path

from pymilvus import MilvusClient

from scripts.benchmark import stores
from scripts.benchmark.codes import draw
from scripts.benchmark.figures import Figures
from scripts.benchmark.parts import stores as stores_part
from scripts.benchmark.plan import Plan


def test_milvus_is_measured_and_left_without_the_collection(tmp_path: Path) -> None:
    small = Plan(2000, ("clustered",), (64,), tmp_path, queries=8, seconds=0.5, rounds=1, deletes=1)
    figures = Figures()
    with stores.opened("milvus", tmp_path / "server") as compared:
        assert list(compared) == ["SQLite + FAISS", "Milvus", "Milvus, session", "Milvus, session, IVF"]
        (name, address, *_), _ = compared.pop("Milvus").options, compared.pop("SQLite + FAISS")
        assert name == "--store"
        stores_part.measure(tmp_path, draw(small.main, small), small, figures, compared)
        client = MilvusClient(address.replace("milvus://", "http://"))
        assert client.list_collections() == []
        client.close()
    assert figures.value("stores", small.main, "Milvus, session: recall@10") == 1
    assert 0 < figures.value("stores", small.main, "Milvus, session, IVF: recall@10") <= 1
    assert figures.value("stores", small.main, "Milvus, session, IVF: sealed and indexed, s") > 0
    assert len(figures.figures) == 10 + 10 and all(figure.value > 0 for figure in figures.figures)

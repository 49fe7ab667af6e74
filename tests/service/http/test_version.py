import sqlite3
import sys
from importlib.metadata import version

import faiss
import httpx
import onnxruntime


def test_version_says_what_runs(client: httpx.Client) -> None:
    assert client.get("/version").json() == {
        "version": version("hammingway"),
        "python": ".".join(map(str, sys.version_info[:3])),
        "faiss": faiss.__version__,
        "onnxruntime": onnxruntime.__version__,
        "sqlite": sqlite3.sqlite_version,
    }

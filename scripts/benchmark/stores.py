"""The stores that `--store` compares: the embedded one, and Milvus, one's own or one that is started for it."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from scripts.milvus.server import MilvusServer

STARTED = "milvus"
SCHEMES = ("milvus", "milvus+tls")


def store(text: str) -> str:
    """The value of `--store`: `milvus`, or an address as the service takes it."""
    if text != STARTED and (urlsplit(text).scheme not in SCHEMES or not urlsplit(text).netloc):
        raise argparse.ArgumentTypeError(f"expected {STARTED}, or {STARTED}://HOST:PORT, got {text}")
    return text


@contextmanager
def opened(chosen: str, folder: Path) -> Iterator[dict[str, list[str]]]:
    """Names of the stores to compare, with the service's options for each; a server runs in `folder` meanwhile."""
    embedded: dict[str, list[str]] = {"SQLite + FAISS": []}
    if chosen != STARTED:
        yield embedded | {"Milvus": ["--store", chosen]}
        return
    with MilvusServer(folder) as server:
        yield embedded | {"Milvus": ["--store", f"{STARTED}://{urlsplit(server.uri).netloc}"]}

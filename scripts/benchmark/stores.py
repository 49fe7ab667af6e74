"""The stores that `--store` compares: the embedded one, and Milvus, which is started for it or is there."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scripts.milvus.server import MilvusServer
from service.milvus.address import Address, configured
from service.settings import Settings

STARTED = "milvus"
SCHEMES = ("milvus", "milvus+tls")


def store(text: str) -> str:
    """The value of `--store`: `milvus`, or an address as the service takes it."""
    if text != STARTED and (urlsplit(text).scheme not in SCHEMES or not urlsplit(text).netloc):
        raise argparse.ArgumentTypeError(f"expected {STARTED}, or {STARTED}://HOST:PORT, got {text}")
    return text


@dataclass(frozen=True)
class Compared:
    """A store: the options that the service takes for it, and the settings of the collection in it.

    `sealed` is the Milvus that is to seal what came, as it does in time by itself: else it is searched code by code,
    whatever the index. `exact`: every answer has to be that of brute force.
    """

    options: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    sealed: Address | None = None
    exact: bool = True


@contextmanager
def opened(chosen: str, folder: Path) -> Iterator[dict[str, Compared]]:
    """Stores to compare, by name; a server runs in `folder` meanwhile, unless `chosen` is the address of one.

    Milvus is taken with session consistency, too, as most of a strong search is a wait for the next tick of its clock;
    and then with IVF, by the lists and probes that the service gives a collection that asks for none.
    """
    if chosen == STARTED:
        with MilvusServer(folder) as server, opened(f"{STARTED}://{urlsplit(server.uri).netloc}", folder) as compared:
            yield compared
        return
    # Of a busy machine: a write that waits is slow, not wrong.
    there = ("--store", chosen, "--store-seconds", "60")
    address = configured(Settings(store=chosen))
    session, ivf = {"consistency": "session"}, {"index": {"kind": "ivf"}}
    yield {
        "SQLite + FAISS": Compared(),
        "Milvus": Compared(there, {}, address),
        "Milvus, session": Compared(there, session, address),
        "Milvus, session, IVF": Compared(there, session | ivf, address, exact=False),
    }

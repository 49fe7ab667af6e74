"""A client whose writes may be refused: it holds every reply against what the database then holds."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from service.http.requests.ndjson import BATCH_LINES
from tests.faults.known import Batch, Known, Value, as_items, changed, difference, draw
from tests.faults.truth import assert_answers, stored
from tests.serving import Process, client_of

COLLECTION = "written"
QUIET = "quiet"
BITS = 64
NDJSON = {"Content-Type": "application/x-ndjson"}
MANY_LINES = 2 * BATCH_LINES + BATCH_LINES // 2


class WritingClient:
    """The only writer of a collection; a refused write has to be refused with a certain status and title, whole."""

    def __init__(
        self, serving: Process, data: Path, refusal: tuple[int, str], seed: int, prefix: Sequence[str] = ()
    ) -> None:
        """`prefix` is a command that runs others where they see the folder `data`."""
        self.known = Known()
        self.replies: Counter[str] = Counter()
        self.refused: list[Batch] = []
        self._serving = serving
        self._stored = partial(stored, data, COLLECTION, prefix)
        self._refusal = refusal
        self._random = np.random.default_rng(seed)
        self._number = 0
        serving.client.put(f"/v1/collections/{COLLECTION}", json={"bits": BITS}).raise_for_status()

    @property
    def kinds(self) -> dict[str, Callable[[], int]]:
        """Every kind of write by name; each sends one and returns the status of its reply."""
        return {
            "upsert of one": lambda: self.upsert(1),
            "upsert": lambda: self.upsert(200),
            "import": lambda: self.import_lines(MANY_LINES),
            "creation": self.create,
            "delete of one": self.delete_one,
            "delete": lambda: self.delete(50),
        }

    def upsert(self, count: int, payload_bytes: int = 0) -> int:
        """JSON: half of it replaces items that are there."""
        values = self._values(count, payload_bytes)
        self.known.begin([dict(values)])
        return self._settle("upsert", "POST", "/index", json={"items": as_items(values)})

    def import_lines(self, count: int) -> int:
        """NDJSON: several batches, of which the first may be written although the request is refused."""
        values = list(self._values(count).items())
        self.known.begin([dict(values[first : first + BATCH_LINES]) for first in range(0, count, BATCH_LINES)])
        lines = "\n".join(map(json.dumps, as_items(dict(values))))
        return self._settle("import", "POST", "/index", content=lines, headers=NDJSON)

    def delete(self, count: int) -> int:
        """Several items that are there."""
        batch: Batch = dict.fromkeys(self._there(count))
        self.known.begin([batch])
        return self._settle("delete", "POST", "/delete", json={"ids": list(batch)})

    def delete_one(self) -> int:
        """An item that is there."""
        (item_id,) = self._there(1)
        self.known.begin([{item_id: None}])
        return self._settle("delete of one", "DELETE", f"/items/{item_id}")

    def create(self) -> int:
        """A new collection; one that was refused is not there."""
        self._number += 1
        path = f"/v1/collections/new-{self._number}"
        reply = self._serving.client.put(path, json={"bits": BITS})
        self._check("creation", reply)
        assert self._serving.client.get(path).status_code == (200 if reply.is_success else 404)
        return reply.status_code

    def look(self) -> int:
        """Searches and gets answer with what was acknowledged; returns how many replies were compared."""
        return assert_answers(self._serving.client, COLLECTION, self.known.items, self._random)

    def restarted(self, serving: Process, possible: list[Batch]) -> None:
        """Go on with another process: what was acknowledged is there, and at most one of the `possible` besides."""
        self._serving = serving
        found = self._stored()
        states = [self.known.items, *(changed(self.known.items, batch) for batch in possible)]
        assert found in states, difference(self.known.items, found)
        self.known.items, self.refused = found, []
        self.look()

    def _settle(self, kind: str, method: str, path: str, **request: Any) -> int:
        reply = self._serving.client.request(method, f"/v1/collections/{COLLECTION}{path}", **request)
        self._check(kind, reply)
        if reply.is_success:
            self.known.acknowledge()
            self.refused = []
            return reply.status_code
        batches = self.known.under_way
        # Nothing of it is there: only an import keeps the batches before the one that was refused.
        self.known.begin(batches[:-1] if kind == "import" else [])
        written = self.known.settle(self._stored())
        self.refused = [*([] if written else self.refused), batches[written]]
        return reply.status_code

    def _check(self, kind: str, reply: httpx.Response) -> None:
        self.replies[f"{kind}: {reply.status_code}"] += 1
        if not reply.is_success:
            assert reply.headers["Content-Type"] == "application/problem+json"
            problem = reply.json()
            found = (reply.status_code, problem["title"])
            assert found == self._refusal and problem["status"] == reply.status_code, reply.text

    def _values(self, count: int, payload_bytes: int = 0) -> dict[str, Value]:
        self._number += 1
        there = self._there(min(len(self.known.items), count // 2))
        new = [f"{self._number}-{place}" for place in range(count - len(there))]
        return draw(self._random, [*there, *new], BITS, payload_bytes)

    def _there(self, count: int) -> list[str]:
        return [str(item_id) for item_id in self._random.choice(sorted(self.known.items), count, replace=False)]


def make_quiet_collection(serving: Process, seed: int) -> dict[str, Value]:
    """A collection that nobody writes to any more."""
    items = draw(np.random.default_rng(seed), (f"quiet-{number}" for number in range(500)), BITS)
    serving.client.put(f"/v1/collections/{QUIET}", json={"bits": BITS}).raise_for_status()
    reply = serving.client.post(f"/v1/collections/{QUIET}/index", json={"items": as_items(items)})
    reply.raise_for_status()
    return items


@contextmanager
def reading(url: str, items: dict[str, Value], compared: Counter[str]) -> Iterator[None]:
    """Search and get the quiet collection all the while, and compare; the number of replies is added to `compared`."""
    stop = threading.Event()

    def read() -> None:
        random = np.random.default_rng(0)
        with client_of(url, timeout=30) as client:
            while not stop.is_set():
                compared["quiet"] += assert_answers(client, QUIET, items, random)

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(read)
        try:
            yield
        finally:
            stop.set()
        done.result()

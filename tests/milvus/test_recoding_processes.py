"""Re-coding over a Milvus by real services, which are killed, as it is itself: what was acknowledged stays."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.milvus.server import MilvusServer
from tests.recoding.calls import assert_searched, codes, create, ended, over, recode, stored, vectors, write
from tests.recoding.conftest import versions
from tests.serving import Process, client_of

__all__ = ["versions"]
QUERY = {"vector": [0.5] * 12}
ITEMS = 1500
KILLS, LONG_KILLS = 1, 40


class Services:
    """Services over one Milvus."""

    def __init__(self, versions: Path, data: Path, milvus: MilvusServer) -> None:
        self._versions, self._data = versions, data
        self._store = milvus.uri.replace("http://", "milvus://")
        self.started: list[Process] = []

    def start(self) -> Process:
        self.started.append(Process(self._versions, self._data, "--store", self._store))
        return self.started[-1]


@pytest.fixture
def services(versions: Path, tmp_path: Path, milvus: MilvusServer) -> Iterator[Services]:
    made = Services(versions, tmp_path / "data", milvus)
    yield made
    for each in made.started:
        each.kill()


class Writer:
    """Writes and deletes items one request after the other, until the service is gone."""

    def __init__(self, url: str, path: str, documents: dict[str, list[float]], seed: int) -> None:
        self._asked: dict[str, list[float] | None] = {}
        self._documents = documents
        self._thread = threading.Thread(target=self._write, args=(url, path, seed))
        self._thread.start()

    def end(self) -> dict[str, list[float] | None]:
        """What was asked for last and not acknowledged, by id, None of what was to be deleted."""
        self._thread.join()
        return self._asked

    def _write(self, url: str, path: str, seed: int) -> None:
        random = np.random.default_rng(seed)
        with client_of(url, timeout=60) as client, suppress(httpx.TransportError):
            while True:
                changed = vectors(int(random.integers(2**32)), 5, prefix=f"v{random.integers(3)}")
                self._asked = dict(changed)
                write(client, path, changed)
                self._documents |= changed
                gone = list(changed)[random.integers(5)]
                self._asked = {gone: None}
                client.delete(f"{path}/items/{gone}").raise_for_status()
                self._documents.pop(gone)


def _as_found(
    client: httpx.Client,
    path: str,
    versions: Path,
    hasher: str,
    documents: dict[str, list[float]],
    asked: dict[str, list[float] | None],
) -> dict[str, list[float]]:
    """What there is: all that was acknowledged, and of what was not, each item as it was or as it was to be."""
    found = stored(client, path)
    assert {each for each in found if each not in asked} == documents.keys() - asked.keys()
    there = documents | {each: vector for each, vector in asked.items() if vector is not None}
    known = {each: there[each] for each in found}
    before = codes(versions, hasher, {each: documents[each] for each in found if each in documents})
    after = codes(versions, hasher, known)
    for each, code in found.items():
        if each in asked and code != after[each]:
            known[each] = documents[each]
            assert code == before[each]
    return known


@pytest.mark.timeout(1800)
def test_kills_lose_no_acknowledged_write(services: Services, versions: Path, request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--seed") or secrets.randbelow(2**32)
    print(f"drawn by --seed {seed}")
    random = np.random.default_rng(seed)
    serving = services.start()
    path, documents = create(serving.client, f"killed{seed}"), vectors(seed, ITEMS)
    write(serving.client, path, documents)
    hashers = ["vectors@1", "vectors@3"]
    killed_within = 0
    for life in range(LONG_KILLS if request.config.getoption("--long") else KILLS):
        job = recode(serving.client, path, hashers[1], switch="manual" if life % 2 else "automatic")["id"]
        writer = Writer(serving.url, path, documents, int(random.integers(2**32)))
        time.sleep(1 + 2 * float(random.random()))
        killed_within += serving.client.get(f"/v1/jobs/{job}").json()["state"] == "running"
        serving.kill()
        asked = writer.end()
        serving = services.start()
        told = over(serving.client, job)
        assert (told["state"], told["done"]) == ("succeeded", told["total"]), told
        documents = _as_found(serving.client, path, versions, hashers[life % 2 == 0], documents, asked)
        if life % 2:
            assert_searched(serving.client, path, hashers[0], codes(versions, hashers[0], documents), QUERY)
            serving.client.post(f"{path}/recode/switch").raise_for_status()
        assert_searched(serving.client, path, hashers[1], codes(versions, hashers[1], documents), QUERY)
        if life % 3 == 1:
            ended(serving.client, path, "rollback")
            hashers.reverse()
        else:
            assert ended(serving.client, path, "finish")["state"] == "succeeded"
        hashers.reverse()
        assert_searched(serving.client, path, hashers[0], codes(versions, hashers[0], documents), QUERY)
    print(f"{killed_within} kills while it was coded")


def test_another_replica_goes_on_where_one_is_killed_and_both_answer_alike(services: Services, versions: Path) -> None:
    one, other = services.start(), services.start()
    path, documents = create(one.client, "handed-on"), vectors(1, ITEMS)
    write(one.client, path, documents)
    job = recode(one.client, path, "vectors@2", switch="manual")["id"]
    more = vectors(2, 20, prefix="w")
    write(other.client, path, more)
    documents |= more
    one.kill()
    # Known, by whichever replica is asked, with what it has come to.
    assert other.client.get(f"/v1/jobs/{job}").json()["kind"] == "recode"
    assert over(other.client, job)["state"] == "succeeded"
    one = services.start()
    failed: list[BaseException] = []

    def search(client: httpx.Client) -> None:
        try:
            seen = []
            while "vectors@2" not in seen[-5:-1]:
                reply = client.post(f"{path}/search", json={"query": QUERY, "limit": 5, "with": ["code"]}).json()
                found = {match["id"]: match["code"] for match in reply["results"]}
                assert found == codes(versions, reply["hasher"], {each: documents[each] for each in found})
                seen.append(reply["hasher"])
            assert seen == sorted(seen)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=search, args=(each.client,)) for each in (one, other)]
    for each in threads:
        each.start()
    with client_of(one.url, timeout=60) as switching:
        switching.post(f"{path}/recode/switch").raise_for_status()
        # Seen by the other one at its next search.
        with client_of(other.url, timeout=60) as asking:
            assert asking.post(f"{path}/search", json={"query": QUERY}).json()["hasher"] == "vectors@2"
    for each in threads:
        each.join()
    if failed:
        raise failed[0]
    for each in (one, other):
        assert_searched(each.client, path, "vectors@2", codes(versions, "vectors@2", documents), QUERY)
        assert each.client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded"


def test_it_waits_for_a_milvus_that_is_killed(services: Services, versions: Path, milvus: MilvusServer) -> None:
    serving = services.start()
    path, documents = create(serving.client, "waiting"), vectors(3, ITEMS)
    write(serving.client, path, documents)
    job = recode(serving.client, path, "vectors@2")["id"]
    while serving.client.get(f"/v1/jobs/{job}").json()["state"] == "queued":
        time.sleep(0.05)
    milvus.kill()
    for call in (f"/v1/jobs/{job}", path, f"{path}/recode"):
        assert serving.client.get(call).status_code == 503
    assert serving.client.get("/metrics").status_code == 200
    milvus.start()
    deadline = time.monotonic() + 90
    while serving.client.get(f"/v1/jobs/{job}").status_code == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    told = over(serving.client, job)
    assert (told["state"], told["done"], told["waits_for"]) == ("succeeded", ITEMS, None)
    assert_searched(serving.client, path, "vectors@2", codes(versions, "vectors@2", documents), QUERY)

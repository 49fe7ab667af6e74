"""Re-coding by real processes: killed at random moments, by two workers, and by one while another serves."""

import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.recoding.calls import assert_searched, codes, create, ended, over, recode, vectors, write
from tests.serving import Process, client_of

QUERY = {"vector": [0.5] * 12}
ITEMS = 3000
KILLS, LONG_KILLS = 3, 60


class Services:
    """Services over one data folder, one after the other or at once."""

    def __init__(self, versions: Path, data: Path) -> None:
        self._folders = versions, data
        self.started: list[Process] = []

    def start(self, *options: str) -> Process:
        self.started.append(Process(*self._folders, *options))
        return self.started[-1]


@pytest.fixture
def services(versions: Path, tmp_path: Path) -> Iterator[Services]:
    made = Services(versions, tmp_path / "data")
    yield made
    for each in made.started:
        each.kill()


def _state(client: httpx.Client, job: int) -> tuple[str, int]:
    told = client.get(f"/v1/jobs/{job}").json()
    return told["state"], told["done"]


@pytest.mark.timeout(900)
def test_kills_lose_no_item_and_code_none_twice(
    services: Services, versions: Path, request: pytest.FixtureRequest
) -> None:
    seed = request.config.getoption("--seed") or secrets.randbelow(2**32)
    print(f"drawn by --seed {seed}")
    random = np.random.default_rng(seed)
    serving = services.start()
    path, documents = create(serving.client, "c"), vectors(seed, ITEMS)
    write(serving.client, path, documents)
    hashers = ["vectors@1", "vectors@3"]
    killed_within = 0
    for life in range(LONG_KILLS if request.config.getoption("--long") else KILLS):
        job = recode(serving.client, path, hashers[1], switch="manual" if life % 2 else "automatic")["id"]
        # What is written while it is coded: each write acknowledged, or lost whole with the process.
        for turn in range(2):
            changed = vectors(int(random.integers(2**32)), 5, prefix=f"v{turn}")
            write(serving.client, path, changed)
            documents |= changed
        time.sleep(float(random.random()) * 0.08)
        state, _ = _state(serving.client, job)
        killed_within += state == "running"
        serving.kill()
        serving = services.start(*(["--workers", "2"] if life % 3 == 2 else []))
        told = over(serving.client, job)
        assert (told["state"], told["done"]) == ("succeeded", ITEMS + 10 * bool(life))
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


def test_another_process_goes_on_where_one_is_killed_and_both_answer_alike(services: Services, versions: Path) -> None:
    one, other = services.start(), services.start()
    path, documents = create(one.client, "c"), vectors(1, ITEMS)
    write(one.client, path, documents)
    job = recode(one.client, path, "vectors@2", switch="manual")["id"]
    more = vectors(2, 20, prefix="w")
    write(other.client, path, more)
    documents |= more
    one.kill()
    assert over(other.client, job)["state"] == "succeeded"
    one = services.start()
    failed: list[BaseException] = []

    def search(client: httpx.Client) -> None:
        try:
            seen = []
            while "vectors@2" not in seen[-20:-1]:
                reply = client.post(f"{path}/search", json={"query": QUERY, "limit": 5, "with": ["code"]}).json()
                expected = codes(
                    versions, reply["hasher"], {match["id"]: documents[match["id"]] for match in reply["results"]}
                )
                assert {match["id"]: match["code"] for match in reply["results"]} == expected
                seen.append(reply["hasher"])
            assert seen == sorted(seen)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=search, args=(each.client,)) for each in (one, other)]
    for each in threads:
        each.start()
    with client_of(one.url) as switching:
        time.sleep(0.2)
        switching.post(f"{path}/recode/switch").raise_for_status()
        # Seen by the other one at its next search.
        with client_of(other.url) as asking:
            assert asking.post(f"{path}/search", json={"query": QUERY}).json()["hasher"] == "vectors@2"
    for each in threads:
        each.join()
    if failed:
        raise failed[0]
    for each in (one, other):
        assert_searched(each.client, path, "vectors@2", codes(versions, "vectors@2", documents), QUERY)
        assert each.client.get(f"/v1/jobs/{job}").json()["state"] == "succeeded"

"""Steps of a re-coding over a Milvus between any writes, switches, rollbacks and restarts: what a dictionary says."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.milvus.address import Address
from service.milvus.opening import opened
from service.store.jobs import Job
from tests.milvus.server import MilvusServer
from tests.recoding.conftest import versions
from tests.recoding.test_interleaved import Interleaved

__all__ = ["versions"]
# A collection takes two seconds until it is in memory.
EXAMPLES, LONG_EXAMPLES = 1, 40


class OverMilvus(Interleaved):
    """The same, but that whoever does the jobs is asked by hand."""

    address: Address

    def __init__(self) -> None:
        self.name = f"c{uuid.uuid4().hex}"
        super().__init__()

    def _opened(self) -> Any:
        return self.stack.enter_context(opened(self.address, self.loaded))

    def _stepped(self, job: Job) -> Job | None:
        mark = self.service.recodings._required(self.name)
        assert mark.job.number == job.number
        stepped = self.service.recodings.step(mark)
        return None if stepped is None else stepped.job

    def _swept(self, job: Job) -> Job:
        self.service.jobs._shared._work()
        swept: Job = self.service.jobs.get(job.number)
        return swept

    def teardown(self) -> None:
        self.service.collections.delete(self.name)
        self.service.jobs._shared._work()
        # Nobody has to wait for this one's turn to lapse.
        self.service.jobs._shared._work()
        super().teardown()


@pytest.mark.timeout(1800)
def test_any_interleaving(
    milvus: MilvusServer, versions: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("service.milvus.recoding.BATCH_ITEMS", 3)
    monkeypatch.setattr("service.milvus.recoding.COMPARED_ITEMS", 5)
    monkeypatch.setattr("service.milvus.ledger.LEASE_SECONDS", 0.0)

    class Machine(OverMilvus):
        loaded = Hashers(versions)
        keeps = NewCollection(hasher="vectors@1", keep_documents=True)
        others = ("vectors@4", "vectors@3")
        address = Address(milvus.uri.replace("http://", "milvus://"))

    examples = LONG_EXAMPLES if request.config.getoption("--long") else EXAMPLES
    checks = [HealthCheck.too_slow]
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=checks, database=None
        ),
    )
